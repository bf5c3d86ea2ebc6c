"""Makes the seeds of the fuzzers for images and models, small ones of each form: make_seeds.py FOLDER.

The files in seeds/ are its output; it needs Python alone.
"""
import io
import json
import pathlib
import struct
import sys
import tarfile
import zipfile
import zlib

GREY, RGB, PALETTE, GREY_ALPHA = 0, 2, 3, 4


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(width, height, depth, kind, row, extra=b'', interlaced=0):
    head = struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, interlaced)
    rows = (b'\0' + row) * height
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + extra + chunk(b'IDAT', zlib.compress(rows))
            + chunk(b'IEND', b''))


def images():
    palette = chunk(b'PLTE', bytes(range(6))) + chunk(b'tRNS', b'\0\xff')
    return {'bit.png': png(4, 4, 1, GREY, b'\x50'), 'colour.png': png(2, 2, 8, RGB, bytes(6)),
            'palette.png': png(4, 2, 2, PALETTE, b'\x44', palette),
            'deep.png': png(2, 3, 16, GREY_ALPHA, bytes(range(8)))}


def tar(mode):
    buffer = io.BytesIO()
    image = png(2, 2, 1, GREY, b'\x40')
    with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.USTAR_FORMAT) as archive:
        for name in ('t/Greek/character01/1.png', 't/ULOG/character02/1.png'):
            member = tarfile.TarInfo(name)
            member.size = len(image)
            archive.addfile(member, io.BytesIO(image))
    data = buffer.getvalue()
    return data[:6 * 512] if mode == 'w' else data  # of the zeros at the end, two blocks


def archives():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name in ('train/a/1.png', 'test/b/1.png'):
            archive.writestr(zipfile.ZipInfo(name), png(2, 2, 1, GREY, b'\x40'))
    return {'drawings.tar': tar('w'), 'drawings.tar.xz': tar('w:xz'), 'drawings.zip': packed.getvalue()}


def models():
    def file(header, data):
        text = json.dumps(header, separators=(',', ':')).encode()
        return struct.pack('<Q', len(text)) + text + data
    return {'two.safetensors': file({'__metadata__': {'k': 'v'},
                                     'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]},
                                     'b': {'dtype': 'U8', 'shape': [1, 3], 'data_offsets': [8, 11]}}, bytes(11)),
            'none.safetensors': file({'a': {'dtype': 'F64', 'shape': [0], 'data_offsets': [0, 0]}}, b'')}


def caches():
    # As src/data/image_cache.c lays it out: the fuzzer sets the checksums.
    side, classes, names = 3, [(1, 0), (2, 2)], b'abc'
    head = b'bloimg1\0' + bytes(16) + bytes(32) + struct.pack('=IIII', side, 1, 0, len(classes))
    head += struct.pack('=QQ', len(names), sum(count for count, _ in classes))
    records = b''.join(struct.pack('=qII', count, split, length)
                       for (count, split), length in zip(classes, (1, 2)))
    return {'two.images': head + records + names + bytes(3 * side * side)}


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, data in {**images(), **archives(), **models(), **caches()}.items():
        (folder / name).write_bytes(data)


main()
