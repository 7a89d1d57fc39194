"""Whether a file is a picture or a video, by its contents and never by its name."""

# The first bytes of files. Pictures of phones (HEIC) and AVIF look like videos up to here.
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_MATROSKA = b"\x1aE\xdf\xa3"
_RIFF = {b"WEBP": "image", b"AVI ": "video"}
_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_STILL = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")

IMAGES, VIDEOS = "JPEG, PNG, WebP, GIF, BMP, TIFF", "MP4, MOV, MKV, WebM, AVI"


def kind_of(start: bytes) -> str | None:
    """The kind of the file with these first 12 bytes: "image", "video", or None for any other.

    The name is not asked. FFmpeg takes a playlist, whatever its name is, for a video and reads the
    files and addresses that stand in it, and Pillow hands PostScript to a program.
    """
    if start[:4] == b"RIFF":
        return _RIFF.get(start[8:12])
    if start[4:8] in _QUICKTIME:
        return None if start[8:12] in _STILL else "video"
    if start.startswith(_MATROSKA):
        return "video"
    return "image" if start.startswith(_IMAGES) else None
