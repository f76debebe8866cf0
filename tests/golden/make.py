"""Make a golden ``.avatar`` file of the present format: ``python tests/golden/make.py``.

Run it once for each new format and commit the result; a file that is there is never changed,
since it stands for the files that people have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from avatar.face import MediaPipeDetector, find_face
from avatar.identity import FORMAT, Consent, Identity, Photo


def main() -> None:
    path = Path(__file__).parent / f"eileen_collins_v{FORMAT}.avatar"
    if path.exists():
        raise SystemExit(f"{path} is there already and must stay as it is")
    crop = Image.fromarray(skimage.data.astronaut()).crop((96, 0, 352, 256))
    image = np.asarray(crop)
    face = find_face(image, MediaPipeDetector())
    identity = Identity(
        photos=(Photo.of(image, face),),
        consent=Consent(True, "NASA", "a portrait in the public domain"),
        created="2025-01-01T00:00:00+00:00",
        models={"detector": "MediaPipeDetector"},
    )
    print(identity.save(path))


if __name__ == "__main__":
    main()
