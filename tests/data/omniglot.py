"""Omniglot, whole, from its archive: numbers, splits, every pixel against pillow, and how long it takes.

omniglot.py SOURCE_ROOT LIBRARY. The archive is omniglot/omniglot_resized.tar.xz in the environment's
CLBILEVEL_TEST_DATA, or in ../shared/data; without it, SKIP. Without pillow the pixels alone are not compared, and said.
"""
import ctypes
import io
import os
import pathlib
import statistics
import sys
import tarfile
import tempfile
import time

sys.dont_write_bytecode = True
import python  # noqa: E402  (it lies beside this file)

SOURCE_ROOT = pathlib.Path(sys.argv[1])
DATA = pathlib.Path(os.environ.get('CLBILEVEL_TEST_DATA', SOURCE_ROOT / '../shared/data'))
ARCHIVE = DATA / 'omniglot/omniglot_resized.tar.xz'
LIBRARY = ctypes.CDLL(sys.argv[2])
SIDE, IMAGES, DRAWINGS = 28, 32460, 20
# Characters of the split of Vinyals et al. (2016), before rotations.
CHARACTERS = {0: 1028, 1: 172, 2: 423}
WARM_RUNS = 5


class Options(ctypes.Structure):
    _fields_ = [('image_size', ctypes.c_int), ('channels', ctypes.c_int), ('rotations', ctypes.c_int),
                ('invert', ctypes.c_int), ('seed', ctypes.c_uint64), ('cache_folder', ctypes.c_char_p)]


for function, kind in {'count': ctypes.c_int64, 'from_cache': ctypes.c_bool, 'origin': ctypes.c_char_p,
                       'pixels': ctypes.POINTER(ctypes.c_uint8), 'class_name': ctypes.c_char_p,
                       'class_count': ctypes.c_int64, 'class_first': ctypes.c_int64}.items():
    getattr(LIBRARY, f'blo_images_{function}').restype = kind


def open_images(cache):
    options, images = Options(), ctypes.c_void_p()
    message = ctypes.create_string_buffer(500)
    LIBRARY.blo_images_options_default(ctypes.byref(options))
    options.cache_folder = str(cache).encode()
    start = time.perf_counter()
    status = LIBRARY.blo_images_open(str(ARCHIVE).encode(), ctypes.byref(options), ctypes.byref(images), message,
                                     ctypes.c_size_t(len(message)))
    seconds = time.perf_counter() - start
    assert status == 0, message.value.decode()
    return images, seconds


def pixels_of(images):
    return ctypes.string_at(LIBRARY.blo_images_pixels(images), IMAGES * SIDE * SIDE)


def check_numbers(images):
    assert LIBRARY.blo_images_count(images) == IMAGES
    assert LIBRARY.blo_images_origin(images) == b'vinyals'
    first = {}
    for split, characters in CHARACTERS.items():
        assert LIBRARY.blo_images_classes(images, split) == 4 * characters, split
        for index in range(characters):
            name = LIBRARY.blo_images_class_name(images, split, index).decode()
            assert name not in first, name
            assert LIBRARY.blo_images_class_count(images, split, index) == DRAWINGS, name
            first[name] = LIBRARY.blo_images_class_first(images, split, index)
    assert len(first) == sum(CHARACTERS.values()) == 1623
    return first


def check_pixels(first, pixels):
    from PIL import Image
    by_class = {}
    with tarfile.open(ARCHIVE) as tar:
        for member in tar:
            if member.name.endswith('.png'):
                _, alphabet, character, file = member.name.split('/')
                image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert('L')
                by_class.setdefault(f'{alphabet}/{character}', []).append((file, image.tobytes()))
    inverted = bytes(255 - value for value in range(256))
    for name, images in by_class.items():
        expected = b''.join(image for _, image in sorted(images)).translate(inverted)
        start = first[name] * SIDE * SIDE
        assert pixels[start:start + len(expected)] == expected, name
    print(f'pixels of {len(by_class)} characters are those that pillow decodes, inverted')


def main():
    if not ARCHIVE.exists():
        print(f'SKIP: {ARCHIVE} is not there')
        sys.exit(python.SKIP)
    with tempfile.TemporaryDirectory() as cache:
        images, cold = open_images(cache)
        assert not LIBRARY.blo_images_from_cache(images)
        first, pixels = check_numbers(images), pixels_of(images)
        LIBRARY.blo_images_destroy(images)
        warm = []
        for _ in range(WARM_RUNS):
            images, seconds = open_images(cache)
            assert LIBRARY.blo_images_from_cache(images) and pixels_of(images) == pixels
            check_numbers(images)
            LIBRARY.blo_images_destroy(images)
            warm.append(seconds)
    print(f'{len(first)} characters, {IMAGES} images; of the splits: {list(CHARACTERS.values())}')
    print(f'decoded in {cold:.3f} s; from the cache in {statistics.median(warm):.3f} s (median of {WARM_RUNS})')
    python.reexec(SOURCE_ROOT, ['PIL'])
    check_pixels(first, pixels)


main()
