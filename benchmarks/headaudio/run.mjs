// Runs @met4citizen/headaudio without a browser.
//
//     npm ci && node run.mjs SOUND.f32...
//
// Each file holds little-endian float32 samples at 16 kHz. For each, one line of JSON: "shipped" and
// "heard", each [T][15] viseme values at 100 steps a second, as they stand when the sound up to that
// step has been pushed. "shipped" are the values its users get from update(). In 0.1.0 those never
// show the viseme "aa": its number is 0, and the node skips what is false. "heard" repairs that, so
// that the classifier is judged by all that it hears.
import { readFileSync } from "node:fs";

// The package expects a browser's audio thread; the node itself only needs its two ends joined.
globalThis.AudioWorkletNode = class {
  constructor() {
    this.port = { postMessage: (message) => this.toProcessor?.({ data: message }) };
  }
};

const place = new URL("node_modules/@met4citizen/headaudio/", import.meta.url);
const { HeadAudio } = await import(new URL("modules/headaudio.mjs", place));
const { Processor } = await import(new URL("modules/processor.mjs", place));
const { Training } = await import(new URL("modules/training.mjs", place));

const RATE = 16000, STEP = 160;
const binary = readFileSync(new URL("dist/model-en-mixed.bin", place));
globalThis.fetch = async () => ({
  ok: true,
  arrayBuffer: async () => binary.buffer.slice(binary.byteOffset, binary.byteOffset + binary.byteLength),
});
const { model } = await new Training().loadModel("model-en-mixed.bin");

class WithAa extends HeadAudio {
  _onmessage(message) {
    super._onmessage(message);
    if (message.data.event === "viseme" && message.data.viseme === 0) this.visemeActive = 0;
  }
}

function hear(samples, Node) {
  const node = new Node(null, { parameterData: {} });
  const values = new Array(15).fill(0);
  node.onvalue = (name, value) => (values[node.visemeNames.indexOf(name)] = value);
  const processor = new Processor(
    { sampleRate: RATE },
    { port: { postMessage: (data) => node._onmessage({ data }) } },
  );
  processor._onmessage({ data: { event: "model", model, reset: true } });
  const rows = [];
  for (let start = 0; start + STEP <= samples.length; start += STEP) {
    processor.process(samples.subarray(start, start + STEP));
    node.update((1000 * STEP) / RATE);
    rows.push(values.map((value) => Math.round(value * 1e4) / 1e4));
  }
  return rows;
}

for (const path of process.argv.slice(2)) {
  const bytes = readFileSync(path);
  const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  console.log(JSON.stringify({ shipped: hear(samples, HeadAudio), heard: hear(samples, WithAa) }));
}
