"""Learning one person: a few photos or a short video → low-rank changes of the shipped decoder.

A room of the product, not of the training: it needs nothing but what ships, and runs in a minute or
two on the machine of whoever uses the avatar.
"""

from avatar.personal.faces import PersonFaces
from avatar.personal.personalise import DEFAULT_STEPS, Outcome, personalise
from avatar.personal.video import faces_of_video

__all__ = ["DEFAULT_STEPS", "Outcome", "PersonFaces", "faces_of_video", "personalise"]
