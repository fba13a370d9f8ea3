"""Image files of every kind that people put into folders, most of a few bytes."""

import struct
import zlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tests.services.test_data_bad import PIXELS
from tests.services.trainer_jobs import png

# Four by four pixels each, written once by Pillow.
_WEBP = {
    "webp lossy": (
        "524946463c000000574542505650382030000000b001009d012a0400040002c04c25880274010efe02ec00fe"
        "d295bd00096166fda793f7b95ee1b8c8df20fe019d7e0000"
    ),
    "webp lossless": (
        "5249464642000000574542505650384c350000002f03c000007f20102084c9972662780402c924f9734d32ff"
        "6d40851024cb32729081200022ce8103073e1d38702025a2ffe16b2c0200"
    ),
    "webp lossy with alpha": (
        "524946466200000057454250565038580a00000010000000030000030000414c50480c000000011f70059e88"
        "0847c923fa1f5650382030000000b001009d012a0400040002c04c25880274010efe02ec00fed295bd000961"
        "b5f6bf2bbe54f1a3d3953350e2ef3a400000"
    ),
    "webp lossless with alpha": (
        "5249464646000000574542505650384c3a0000002f03c000107f20102084c9972662780402c924f9734d2216"
        "4cf1ee986a034a08416759461f642008808873e0c0814f070e1c4889e87ff81a8b00"
    ),
    "webp animated": (
        "52494646da00000057454250565038580a00000012000000030000030000414e494d06000000000000000000"
        "414e4d4652000000000000000000030000030000320000025650384c390000002f03c000107f40906d33b022"
        "dc1fe90cc323104826c91f6430b1608a77c754115200b0ff0e20088058b360c182490b162c1889e87f20ace6"
        "0300414e4d4654000000000000000000030000030000320000025650384c3c0000002f03c000107f40906d33"
        "b022dc1fe90cc323104826c91f6430b1608a77c754115200b0ff0e5010c906f53e2aa8a082922aa8a0829a11"
        "fd8f89cdab6f"
    ),
    "webp with Exif": (
        "524946467600000057454250565038580a000000080000000300000300005650384c350000002f03c000007f"
        "20102084c9972662780402c924f9734d32ff6d40851024cb32729081200022ce8103073e1d38702025a2ffe1"
        "6b2c0200455849461a0000004d4d002a00000008000101120003000000010006000000000000"
    ),
}
_JXL = {
    "jxl": (
        "ff0a18900100148806000401b1621500800a9551c60d5ecef57cf9a1c362dac67586b6dab6b084b1d95e1824"
        "249cc0c625879bf30d1e7a022a492400b7e9940aeac0df6f2a074802bb7742db0a"
    ),
    "jxl gray": ("ff0a181010143702080001005c004b188b154219b66d166d6ef8f0e14d2a0898d49236390f"),
    "jxl with alpha": (
        "ff0a1810b0120800100028014b18938e8383990489831550bd8bba6175e100003c65119c5e4020802a187441"
        "e8a0830521fc4f78ef20bc77efe0bd830eb66ddb18dcb61106b7b1c7f76d8341b741e8a083dd1a9f8a00"
    ),
    "jxl in boxes": (
        "0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20000000116a786c7000000000"
        "ff0a18900100000022457869664d4d002a00000008000101120003000000010006000000000000000000546a"
        "786c708000000100148806000401b1621500800a9551c60d5ecef57cf9a1c362dac67586b6dab6b084b1d95e"
        "1824249cc0c625879bf30d1e7a022a492400b7e9940aeac0df6f2a074802bb7742db0a"
    ),
}
_CMYK = (
    "ffd8ffee000e41646f626500640000000000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d"
    "4964918099968f808c8aa0b4e6c3a0aadaad8a8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffc00014080004"
    "0004044311004d11005911004b1100ffc4001f0000010501010101010100000000000000000102030405060708090a"
    "0bffc400b5100002010303020403050504040000017d01020300041105122131410613516107227114328191a10823"
    "42b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a53545556575859"
    "5a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5"
    "b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda000e"
    "0443004d0059004b00003f005d3ffe3d1697ec16ff00dca5b7823f28715b35ffd9"
)
_FRAME = b"\xff\xc0"


def zoo() -> dict[str, bytes]:
    """Contents of files, by what they are; the beginning of a name is the format's."""
    return {**_pngs(), **_jpegs(), **_gifs(), **_bmps(), **_newer(), **_others()}


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(bits: int, colour: int, rows: bytes, *, width: int, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(48))) + chunk(b"tRNS", b"\0\x80") if colour == 3 else b""
    body = chunk(b"IDAT", zlib.compress(b"\0" + rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + body


def _pngs() -> dict[str, bytes]:
    whole = png(PIXELS)
    return {
        "png": whole,
        "png 1 bit": _png(1, 0, b"\xa5", width=8),
        "png 2 bits": _png(2, 0, b"\x1b", width=4),
        "png 4 bits": _png(4, 0, b"\x5a", width=2),
        "png 16 bits": _png(16, 0, b"\x12\x34", width=1),
        "png 16 bits rgb": _png(16, 2, bytes(range(6)), width=1),
        "png 16 bits rgba": _png(16, 6, bytes(range(8)), width=1),
        "png gray and alpha": _png(8, 4, b"\x40\x80", width=1),
        "png palette 1": _png(1, 3, b"\xa5", width=8),
        "png palette 4": _png(4, 3, b"\x5a", width=2),
        "png palette 8": _png(8, 3, b"\3\1\0\2", width=4),
        "png interlaced": _png(8, 2, b"abc", width=1, interlaced=1),
        "png with an unknown chunk first": whole[:8] + chunk(b"abCd", bytes(13)) + whole[8:],
        "png with more behind": whole + b"more",
        "png cut": whole[:60],
        "png without its end": whole[:-12],
        "png with a broken header": whole[:30] + bytes([whole[30] ^ 1]) + whole[31:],
        "png with broken data": whole[:45] + bytes([whole[45] ^ 0x55]) + whole[46:],
        "png of an iPhone": whole[:8] + chunk(b"CgBI", bytes(4)) + whole[8:],
    }


def _jpegs() -> dict[str, bytes]:
    whole = bytes(tf.io.encode_jpeg(PIXELS).numpy())
    frame = whole.index(_FRAME)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    turned = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif

    def process(marker: int) -> bytes:
        return whole[: frame + 1] + bytes([marker]) + whole[frame + 2 :]

    return {
        "jpeg": whole,
        "jpeg gray": tf.io.encode_jpeg(PIXELS[:, :, :1]).numpy(),
        "jpeg progressive": tf.io.encode_jpeg(PIXELS, progressive=True).numpy(),
        "jpeg cmyk": bytes.fromhex(_CMYK),
        "jpeg arithmetic": process(0xC9),
        "jpeg turned by Exif": whole[:2] + turned + whole[2:],
        "jpeg with a comment": whole[:2] + b"\xff\xfe\0\6word" + whole[2:],
        "jpeg with stray bytes": whole[:20] + b"\0\x11\x22" + whole[20:],
        "jpeg with fill bytes": whole[:20] + b"\xff" * 5 + whole[20:],
        "jpeg with a stuffed byte": whole[:20] + b"\xff\0" + whole[20:],
        "jpeg with a segment of no length": whole[:20] + b"\xff\xe5\0\0" + whole[20:],
        "jpeg with more behind": whole + b"more of it" * 9,
        "jpeg without its end": whole[:-2],
        "jpeg cut": whole[:-20],
        "jpeg with an early end": whole[:20] + b"\xff\xd9",
        "jpeg lossless": process(0xC3),
        "jpeg 12 bits": whole[: frame + 4] + b"\x0c" + whole[frame + 5 :],
    }


def gif(
    *frames: tuple[int, int], screen: tuple[int, int] = (2, 2), version: bytes = b"GIF89a"
) -> bytes:
    """Frames of one pixel at some places, with a palette of two colours."""
    extension = b"\x21\xf9\x04\1\0\0\0\0"
    shown = b"".join(
        extension + b"\x2c" + struct.pack("<HHHHB", *at, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
        for at in frames
    )
    begin = version + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\x20\x40\x60\xff\xff\xff"
    return begin + shown + b"\x3b"


def _gifs() -> dict[str, bytes]:
    whole, two = gif((0, 0)), gif((0, 0), (0, 0))
    return {
        "gif": whole,
        "gif animated": two,
        "gif 88": gif((0, 0), version=b"GIF88a"),
        "gif on a large screen": gif((0, 0), screen=(60_000, 60_000)),
        "gif beside the screen": gif((1, 1), screen=(1, 1)),
        "gif without its end": whole[:-1],
        "gif with junk behind its frame": whole[:-1] + b"\x77\x88",
        "gif animated, cut in the second frame": two[:-4],
        "gif with an empty extension": whole[:19] + b"\x21\xfe\0\0" + whole[19:],
        "gif cut": whole[:-4],
        "gif without a frame": gif(),
        "gif without colours": b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + whole[19:],
    }


def _bmp(bits: int, *, compression: int = 0, size: int | None = None) -> bytes:
    """Two by two pixels."""
    row = -(-2 * bits // 32) * 4
    data = bytes(range(10, 10 + 2 * row))[:size]
    info = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, bits, compression, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + info + data


def _bmps() -> dict[str, bytes]:
    return {
        **{f"bmp {bits} bits": _bmp(bits) for bits in (1, 4, 8, 16, 24, 32)},
        "bmp compressed": _bmp(8, compression=1, size=6),
        "bmp cut": _bmp(24)[:-5],
        "bmp with more behind": _bmp(24) + b"xx",
        "bmp short": _bmp(24)[:22],
        "bmp of OS/2": b"BM"
        + struct.pack("<IHHI", 26 + 16, 0, 0, 26)
        + struct.pack("<IHHHH", 12, 2, 2, 1, 24)
        + bytes(16),
    }


def _newer() -> dict[str, bytes]:
    files = {name: bytes.fromhex(text) for name, text in (_WEBP | _JXL).items()}
    lying = bytearray(files["webp with Exif"])
    lying[24:26] = b"\xff\x01"
    return files | {
        "webp cut": files["webp lossy"][:-20],
        "webp cut in its header": files["webp lossy"][:22],
        "webp with another size": bytes(lying),
        "jxl cut": files["jxl"][:-20],
    }


def _others() -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"these are words, not pixels",
        "html": b"<!DOCTYPE html><html></html>",
        "tiff": b"II*\0\x08\0\0\0" + bytes(40),
        "ico": b"\0\0\1\0\1\0" + bytes(40),
        "heic": b"\0\0\0\x18ftypheic" + bytes(40),
        "avif": b"\0\0\0\x1cftypavif" + bytes(40),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "wave": b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
    }


def decoded(content: bytes, channels: int) -> np.ndarray | None:
    """What Keras's reader decodes of it; None where it fails."""
    try:
        image = tf.image.decode_image(
            tf.constant(content), channels=channels, expand_animations=False
        )
    except (tf.errors.OpError, ValueError):
        return None
    found: np.ndarray = image.numpy()
    return found


def names(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same under names that Keras lists."""
    return {f"{name.replace('/', ' ')}.jpg": content for name, content in files.items()}
