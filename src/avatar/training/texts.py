"""What the synthetic voices say: everyday sentences, and random words for phonetic coverage."""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.resources import files

import numpy as np

HELLO = (
    "Hello! I am your avatar. One picture and one voice is all I need. "
    "When you stop, I stop. Maybe we could build something beautiful together."
)

_SENTENCES = """\
Would you like a cup of tea before we begin?
People remember faces much better than names.
My mother bought a beautiful blue umbrella for the picnic.
The weather is changing, so please bring a warm jacket.
I believe we have met before, at the conference in Paris.
Bob bumped his head when he jumped up from the boat.
Put the book back on the table, please.
What time does the museum open on Sundays?
Thank you very much for calling; how can I help you?
Five fine fishermen found their favourite food.
She should choose which shoes she wishes to wear.
The machine learns from many examples of human speech.
No, I don't know when the next train will arrive.
Wait a moment, let me think about that.
Those three brothers thought the path was theirs.
We are happy to welcome you to our new home.
Open the window and let some fresh air in.
Every morning the baker brings bread to the village.
Could you repeat that more slowly? I did not understand.
Remember to drink plenty of water while you travel.
Apples, plums and pumpkins grow behind the farm.
Over the river and through the woods we go.
You can ask me anything about the product.
It may rain tomorrow, but maybe it will be warm.
The president made an important announcement this evening.
Please press the button below to proceed to payment.
Our whole group voted for the yellow house.
How do you feel about moving to another city?
Wow, that is a really amazing idea!
Good evening, and welcome to the news at nine."""

_HELD_OUT_SENTENCES = """\
The museum is closed, but the park beside it is open until nine.
Somebody must have borrowed my umbrella from the office.
Is there a bus stop nearby, or should we take a cab?
Maple syrup tastes better on warm pancakes.
Brown bears sometimes climb to the top of a mountain.
Her number is probably in the phone book by the lamp.
I promise to pay back every penny by the end of the month.
Paper boats float better than wooden ones, apparently.
Please remember to bring both maps and a compass.
The company has published a report about climate change.
We spent the whole summer painting the bathroom purple.
My neighbour plays the trumpet before breakfast.
A simple problem may become complicated by bad planning.
Nobody expected the game to be over so soon.
They gave us clear instructions for using the computer.
Imagine a bright room with a piano in the middle."""

_HELD_OUT_FOREIGN = {
    "de": "Bitte bringen Sie mir ein Glas Wasser. Meine Mutter wohnt am Bodensee. "
    "Der Zug kommt um halb sieben. Ich habe mein Buch im Auto vergessen.",
    "es": "Mi madre compra pan por la mañana. El perro blanco duerme bajo la mesa. "
    "¿Cuánto vale el billete de ida y vuelta? No puedo venir mañana.",
    "cmn": "我爸爸每天骑自行车上班。明年我想去美国旅行。请把门关上。孩子们在公园里跑步。",
}

_FOREIGN = {
    "de": "Guten Morgen, wie geht es Ihnen? Mein Bruder baut ein blaues Boot. "
    "Wir möchten bitte bezahlen. Das Wetter wird morgen besser. Können Sie mir bitte helfen? "
    "Am Abend kommen viele Menschen.",
    "fr": "Bonjour, comment allez-vous? Mon père boit un peu de vin blanc. "
    "Je voudrais une table pour deux. Il fait beau aujourd'hui. Nous partons demain matin. "
    "Pouvez-vous parler plus lentement?",
    "es": "Buenos días, me llamo María. Mi hermano trabaja en un banco. "
    "¿Puedes abrir la puerta por favor? Mañana vamos al pueblo. El tiempo es muy bueno. "
    "Muchas gracias por su ayuda.",
    "it": "Buongiorno, mi chiamo Paolo. La bambina mangia una mela. Potrebbe aprire la finestra? "
    "Domani andiamo al mare. Che bella giornata! Vorrei un bicchiere di vino bianco.",
    "cmn": "你好,很高兴见到你。我们明天一起去北京吧。妈妈买了很多苹果。请问现在几点了?"
    "今天的天气非常好。他们正在办公室里开会。我想喝一杯咖啡。",
    "hi": "नमस्ते, आप कैसे हैं? मेरा भाई बाजार में काम करता है। कृपया दरवाजा खोलिए। "
    "आज मौसम बहुत अच्छा है। हम कल दिल्ली जाएंगे।",
    "ja": "こんにちは、おげんきですか。わたしはまいあさパンをたべます。あしたはあめがふるでしょう。"
    "まどをあけてください。ありがとうございました。",
    "pt": "Bom dia, como vai você? Meu pai trabalha no banco. Por favor, abra a porta. "
    "Amanhã vamos à praia. Muito obrigado pela ajuda.",
    "ru": "Добрый день, как дела? Мой брат работает в банке. Откройте окно, пожалуйста. "
    "Завтра мы поедем в город. Большое спасибо за помощь.",
    "ar": "مرحبا، كيف حالك؟ أخي يعمل في البنك. من فضلك افتح الباب. غدا نذهب إلى المدينة.",
}
_SENTENCE_END = ".?!。?।؟"


@cache
def _words() -> list[str]:
    """Plain English words of the lexicon that hibari-tts carries."""
    data = (files("hibari") / "assets" / "lexicon_us_gold.json.gz").read_bytes()
    return sorted(w for w in json.loads(gzip.decompress(data)) if w.isalpha() and w.islower())


def english_sentence(rng: np.random.Generator) -> str:
    """An everyday sentence, random words, or a command of letters and numbers."""
    kind = rng.random()
    if kind < 0.45:
        lines = _SENTENCES.splitlines()
        return lines[int(rng.integers(len(lines)))]
    if kind < 0.9:
        words = rng.choice(_words(), int(rng.integers(4, 9)))
        return " ".join(words) + str(rng.choice([".", "?", "!", ", okay."]))
    letters = " ".join(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), 3))
    return f"{rng.choice(['bin', 'lay', 'place', 'set'])} {letters} {rng.integers(10000)} please."


def foreign_sentence(rng: np.random.Generator, voice: str) -> str:
    """A sentence or two in the language of an espeak-ng voice; English for voices of English."""
    text = _FOREIGN.get(voice.split("-")[0])
    return english_sentence(rng) if text is None else _two_of(text, rng)


def held_out_sentence(rng: np.random.Generator, voice: str = "en") -> str:
    """A sentence or two that the others never give, in the language of an espeak-ng voice."""
    text = _HELD_OUT_FOREIGN.get(voice.split("-")[0])
    if text is not None:
        return _two_of(text, rng)
    lines = _HELD_OUT_SENTENCES.splitlines()
    return lines[int(rng.integers(len(lines)))]


def _two_of(text: str, rng: np.random.Generator) -> str:
    for end in _SENTENCE_END:
        text = text.replace(end, end + "\n")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(rng.choice(lines, 2, replace=False)) + f" {rng.integers(1000)}."
