"""Draws the ICT head with made-up skin and light, by OpenGL without a window.

Colours are worked out for each pixel from where on the head it lies, so that spots, pores and the
edge of an iris stick to the moving surface. Needs ``moderngl``, of the ``train`` extra, and EGL;
Mesa's software renderer will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import DependencyError

SIZE = 512
"""Side of the pictures in pixels."""

SKIN, TEETH, GUMS, EYES = range(4)
"""What a vertex is made of; lips, brows and beard are shades of skin."""

_VERTEX = """
#version 330
in vec3 position; in vec3 normal; in vec3 place; in float material; in vec3 shade;
out vec3 n; out vec3 at; out vec3 where; out vec3 tint; flat out int kind;
uniform float distance; uniform float focal;
void main() {
    n = normal; at = position; where = place; tint = shade; kind = int(material + 0.5);
    float depth = distance + position.z;
    gl_Position = vec4(focal * position.x, -focal * position.y,
                       depth * (depth - 10.0) / (distance + 40.0), depth);
}
"""

_FRAGMENT = """
#version 330
in vec3 n; in vec3 at; in vec3 where; in vec3 tint; flat in int kind;
out vec4 colour;
uniform vec3 sun; uniform vec3 sun_colour; uniform vec3 sky; uniform vec3 ground;
uniform vec3 skin; uniform vec3 lips; uniform vec3 teeth; uniform vec3 gums; uniform vec3 iris;
uniform vec3 hair; uniform float grain; uniform float blotches; uniform float beard;
uniform float gloss; uniform float seed; uniform float hairline; uniform float distance;
float hash(vec3 p) {
    p = fract(p * 0.3183099 + seed * 0.013 + 0.1); p *= 17.0;
    return fract(p.x * p.y * p.z * (p.x + p.y + p.z));
}
float noise(vec3 x) {
    vec3 i = floor(x); vec3 f = fract(x); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x),
                   mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
               mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x),
                   mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z);
}
void main() {
    vec3 normal = normalize(n);
    vec3 eye = normalize(vec3(0.0, 0.0, -distance) - at);
    if (dot(normal, eye) < 0.0) normal = -normal;
    vec3 base = skin; float shine = gloss; float hard = 14.0; float lit = 1.0;
    if (kind == 0) {
        float fine = noise(where * 9.0) + 0.6 * noise(where * 21.0);
        float broad = noise(where * 0.55) + 0.5 * noise(where * 1.3);
        base = skin * (1.0 + blotches * (broad - 0.75)) + vec3(0.10, 0.0, 0.0) * blotches * broad;
        base *= 1.0 + grain * (fine - 0.8);
        float folds = 0.5 * grain * (noise(where * vec3(16, 3, 3)) - 0.5);
        base = mix(base, lips * (1.0 + folds), tint.r);
        base = mix(base, hair, tint.g * (0.55 + 0.45 * noise(where * vec3(14, 5, 5))));
        base = mix(base, hair * 1.2, beard * tint.b * smoothstep(0.35, 0.75, noise(where * 17.0)));
        float scalp = smoothstep(hairline - 0.8, hairline + 0.8,
                                 -where.y + 0.5 * where.z + 1.2 * noise(where * 0.8));
        base = mix(base, hair * (0.6 + 0.8 * noise(where * vec3(11, 2, 11))), scalp);
        shine += 0.25 * tint.r;
    } else if (kind == 1) {
        base = teeth * (1.0 - 0.18 * tint.r) * (0.97 + 0.06 * noise(where * 3.0));
        shine = 0.5; hard = 40.0; lit = tint.g;
    } else if (kind == 2) {
        base = gums * (0.8 + 0.4 * noise(where * 3.0)); shine = 0.35; hard = 30.0; lit = tint.g;
    } else {
        float angle = length(where.xy);
        base = vec3(0.93, 0.90, 0.88) - 0.10 * vec3(0.0, 1.0, 1.0) * smoothstep(0.5, 1.0, angle);
        float spokes = noise(vec3(atan(where.y, where.x) * 9.0, angle * 5.0, seed));
        vec3 ring = iris * (0.6 + 0.8 * spokes);
        base = mix(ring, base, smoothstep(0.46, 0.50, angle));
        base = mix(vec3(0.02), base, smoothstep(0.17, 0.20, angle));
        shine = 0.9; hard = 90.0;
    }
    float direct = max(dot(normal, sun), 0.0);
    float wrapped = kind == 0 ? 0.75 * direct + 0.25 * max((dot(normal, sun) + 0.35) / 1.35, 0.0)
                              : direct;
    vec3 ambient = mix(ground, sky, 0.5 - 0.5 * normal.y);
    vec3 light = base * (ambient + sun_colour * wrapped) * lit;
    float glint = pow(max(dot(normal, normalize(sun + eye)), 0.0), hard);
    light += sun_colour * shine * glint * lit * 0.35;
    colour = vec4(pow(clamp(light, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
}
"""


@dataclass(frozen=True)
class Look:
    """Uniforms of the shader by name: colours in linear light, vectors, and numbers."""

    values: dict[str, Any]


class HeadRenderer:
    """Draws vertices ``[V, 3]`` in centimetres: x right, y down, z away from the camera.

    Args:
        triangles: ``[N, 3]``. place: ``[V, 3]`` where on the head a vertex lies, at rest; for
            eyeballs, how far from their axis. material: ``[V]``. shade: ``[V, 3]`` in 0..1.

    Raises:
        DependencyError: moderngl is missing, or there is no OpenGL.
    """

    def __init__(
        self,
        triangles: NDArray[np.int32],
        place: NDArray[np.float32],
        material: NDArray[np.float32],
        shade: NDArray[np.float32],
    ) -> None:
        try:
            import moderngl

            create: Any = moderngl.create_standalone_context
            self._gl = create(backend="egl")
        except Exception as error:
            # Whatever the driver has to say, it is what is missing.
            raise DependencyError(
                f"synthetic heads need moderngl and EGL: pip install moderngl ({error})"
            ) from error
        self._triangles = triangles
        self._program: Any = self._gl.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        fixed = np.concatenate([place, material[:, None], shade], 1).astype("f4")
        self._moving = self._gl.buffer(reserve=len(place) * 24)
        self._array = self._gl.vertex_array(
            self._program,
            [
                (self._moving, "3f 3f", "position", "normal"),
                (self._gl.buffer(fixed.tobytes()), "3f 1f 3f", "place", "material", "shade"),
            ],
            self._gl.buffer(triangles.astype("i4").tobytes()),
        )
        self._smooth = self._gl.simple_framebuffer((SIZE, SIZE), 4, samples=4)
        self._plain = self._gl.simple_framebuffer((SIZE, SIZE), 4)
        self._gl.enable(self._gl.DEPTH_TEST)

    def draw(
        self, vertices: NDArray[np.float64], look: Look, *, distance: float, focal: float
    ) -> NDArray[np.uint8]:
        """``[SIZE, SIZE, 4]`` uint8; alpha is 0 where there is no head."""
        for name, value in {**look.values, "distance": distance, "focal": focal}.items():
            if name in self._program:
                self._program[name].value = value
        moving = np.concatenate([vertices, self._normals(vertices)], 1).astype("f4")
        self._moving.write(moving.tobytes())
        self._smooth.use()
        self._gl.clear(0.0, 0.0, 0.0, 0.0)
        self._array.render()
        self._gl.copy_framebuffer(self._plain, self._smooth)
        pixels = np.frombuffer(self._plain.read(components=4), np.uint8)
        return np.flipud(pixels.reshape(SIZE, SIZE, 4)).copy()

    def _normals(self, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        corners = vertices[self._triangles]
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = np.stack(
            [
                np.bincount(self._triangles.ravel(), np.repeat(flat[:, k], 3), len(vertices))
                for k in range(3)
            ],
            1,
        )
        normals: NDArray[np.float64] = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-9)
        return normals


def project(
    points: NDArray[np.float64], *, distance: float, focal: float
) -> NDArray[np.float64]:  # [N, 3] -> [N, 2] pixels
    """Where ``HeadRenderer`` draws a point."""
    ndc = focal * points[:, :2] / (distance + points[:, 2:])
    return (ndc + 1.0) * (SIZE / 2) - 0.5
