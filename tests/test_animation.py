import io

import numpy as np
import pytest
from PIL import Image as pillow

from kmq import image
from kmq.animation import Animation, frame_count, quantize_animation, read_frames
from kmq.palette import Palette

TIMES = [50, 70, 100]


@pytest.fixture
def film(gradient, tmp_path):
    """A lossless animation of three frames."""
    frames = [
        pillow.fromarray(np.roll(gradient.rgb_matrix, 7 * shift, axis=1)) for shift in range(3)
    ]
    path = tmp_path / "film.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=TIMES, loop=2)
    return path


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "apng"])
def test_frames_share_one_palette_and_come_back(film, tmp_path, kind):
    reduced = quantize_animation(film, 12)
    assert frame_count(film) == 3
    palette = reduced.frames[0].palette
    assert len(palette) == 12
    assert all(np.array_equal(frame.palette, palette) for frame in reduced.frames)
    path = tmp_path / f"reduced.{kind}"
    reduced.save(path)
    again = list(read_frames(path))
    assert [frame.duration for frame in again] == TIMES
    for frame, wanted in zip(again, reduced.frames, strict=True):
        assert np.array_equal(frame.image.rgb_matrix, wanted.rgb_matrix)
    assert quantize_animation(path, 12).loop == 2


def test_palette_is_that_of_all_frames(film):
    frames = [frame.image.rgb_matrix for frame in read_frames(film)]
    whole = image.quantize_image(image.Image(np.vstack(frames)), 12)
    reduced = quantize_animation(film, 12)
    assert np.array_equal(reduced.frames[0].palette, whole.palette)
    given = quantize_animation(film, 12, palette=Palette(["#000", "#fff"]))
    assert given.frames[2].palette.tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_transparency_moves_with_the_frames(gradient, tmp_path, kind):
    frames = []
    for shift in range(3):
        alpha = np.full((36, 50), 255, np.uint8)
        alpha[:, 10 * shift : 10 * shift + 15] = 0
        frames.append(pillow.fromarray(np.dstack([gradient.rgb_matrix, alpha])))
    path = tmp_path / "in.webp"
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=100, lossless=True, exact=True
    )
    reduced = quantize_animation(path, 9)
    assert len(reduced.frames[0].palette) == 9
    reduced.save(tmp_path / f"out.{kind}")
    for number, frame in enumerate(read_frames(tmp_path / f"out.{kind}")):
        hidden = frame.image.alpha == 0
        assert hidden[:, 10 * number : 10 * number + 15].all()
        assert hidden.sum() == 36 * 15
        wanted = reduced.frames[number].rgb_matrix
        assert np.array_equal(frame.image.rgb_matrix[~hidden], wanted[~hidden])


def test_a_still_picture_is_one_frame(gradient, tmp_path):
    path = tmp_path / "still.png"
    pillow.fromarray(gradient.rgb_matrix).save(path)
    assert frame_count(path) == 1
    (frame,) = read_frames(path)
    assert np.array_equal(frame.image.rgb_matrix, gradient.rgb_matrix)


def test_save_refuses_and_raises_in_one_line(picture, rng, tmp_path):
    noise = image.Image(rng.integers(0, 256, (36, 50, 3), np.uint8))
    animation = Animation([picture, picture], [10, 10])
    with pytest.raises(image.ImageWriteError, match="an animation is written as"):
        animation.save(tmp_path / "film.jpg")
    animation.save(tmp_path / "film.gif")
    with pytest.raises(image.OutputExistsError):
        animation.save(tmp_path / "film.gif", overwrite=False)
    many = image.quantize_image(noise, 300, random_state=0)
    with pytest.raises(image.ImageWriteError, match="GIF holds at most 256 colours"):
        Animation([picture, many], [10, 10]).save(tmp_path / "many.gif")
    buffer = io.BytesIO()
    animation.save(buffer)
    assert buffer.getvalue()[:6] == b"GIF89a"
    with pytest.raises(image.ImageNotFoundError):
        list(read_frames(tmp_path / "none.gif"))


def test_truncated_animations_are_refused(film):
    data = film.read_bytes()
    for tenth in range(9):
        film.write_bytes(data[: len(data) * tenth // 10])
        with pytest.raises(image.ImageReadError, match="cannot read"):
            list(read_frames(film))
