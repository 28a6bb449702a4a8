"""From a photo that somebody teaches with to the avatar that is kept of it: one ENCODE job."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rapbot.answering import Answering
from rapbot.concepts.concept import NewAvatar
from rapbot.errors import ConceptError, InferenceError
from rapbot.i18n import _
from rapbot.inference.job import AvatarFace, EncodedAvatar, Task
from rapbot.inference.queue import JobQueue
from rapbot.memory import Memory
from rapbot.messages import WHOLE, Actor, Box, ProgressListener
from rapbot.people import the_one

_FACE_FILLS = 0.04
"""Part of an avatar that a face takes at least where the person is what was taught."""


class Avatars:
    def __init__(self, memory: Memory, answering: Answering, queue: JobQueue) -> None:
        self._memory = memory
        self._answering = answering
        self._queue = queue

    async def make(
        self,
        actor: Actor,
        photo: bytes,
        category: str,
        box: Box | None,
        listener: ProgressListener | None,
        *,
        faces: bool = False,
    ) -> tuple[NewAvatar, EncodedAvatar]:
        """The avatar, and what else was seen. `box` None: where the thing is, as the models find it. `faces`: look for
        them as well. Raises ConceptError, InferenceError, PhotoError, Busy.
        """
        job = self._answering.job(
            actor, Task.ENCODE, photo=photo, category=category, box=box, picture=False, faces=faces
        )
        erased = self._memory.erasures(actor)
        encoded = (await self._queue.submit(job, listener)).avatar
        if self._memory.erasures(actor) != erased:
            raise ConceptError(_("You deleted everything meanwhile, so I keep nothing of that."))
        if encoded is None:
            raise InferenceError(_("I could not look at that photo. Please try another one."))
        key = np.frombuffer(encoded.key, np.float32)
        others = tuple((encoder, np.frombuffer(other, np.float32)) for encoder, other in encoded.other_keys)
        return NewAvatar(encoded.jpeg, key, encoded.encoder, encoded.box, other_keys=others), encoded

    async def find_faces(self, actor: Actor, jpeg: bytes) -> tuple[AvatarFace, ...]:
        """The faces in an avatar (JPEG), largest first."""
        _avatar, encoded = await self.make(actor, jpeg, "", WHOLE, None, faces=True)
        return encoded.faces


def with_face(avatar: NewAvatar, face: AvatarFace) -> NewAvatar:
    """By which the person is recognised as well: they agreed."""
    return replace(avatar, face=np.frombuffer(face.key, np.float32))


def kind_seen(encoded: EncodedAvatar) -> str:
    """What a thing is when nobody said it: a person where a face is most of what was taught."""
    if the_one(encoded.faces) is not None and encoded.faces[0].box.area > _FACE_FILLS:
        return "person"
    return encoded.tags[0].word if encoded.tags and encoded.tags[0].probability > 0.3 else "thing"
