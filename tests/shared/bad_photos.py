# SPDX-License-Identifier: Apache-2.0
"""What each bad photo of fixtures/photos is refused with: by the core, and so by the TA."""

from sandbox.tee_abi import Status

# By the reason in the photo's name: `<thing>.bad-<reason>.jpg`.
BAD = {
    "12bit": Status.JPEG_UNSUPPORTED,
    "arithmetic": Status.JPEG_UNSUPPORTED,
    "cmyk": Status.JPEG_COLORSPACE,
    "empty": Status.JPEG_TRUNCATED,
    "entropy": Status.JPEG_CORRUPT,
    "lossless": Status.JPEG_UNSUPPORTED,
    "no-tables": Status.JPEG_CORRUPT,
    "png": Status.JPEG_CORRUPT,
    "restart": Status.JPEG_CORRUPT,
    "size": Status.JPEG_TOO_LARGE,
    "size-progressive": Status.JPEG_TOO_LARGE,
    "truncated": Status.JPEG_TRUNCATED,
    "truncated-header": Status.JPEG_TRUNCATED,
    "truncated-progressive": Status.JPEG_TRUNCATED,
    "ycck": Status.JPEG_COLORSPACE,
    "zero-height": Status.JPEG_CORRUPT,
}
