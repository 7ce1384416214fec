# SPDX-License-Identifier: Apache-2.0
"""What becomes of a device's endorsement when the device is destroyed."""

import contextlib
from collections.abc import Iterator

from sandbox.errors import InfraError
from sandbox.machine import flash
from sandbox.machine.machine import Machine


@contextlib.contextmanager
def retired(machine: Machine) -> Iterator[None]:
    """What the body destroys is on the manufacturer's revocation list from then on."""
    from sandbox.authority.device import device_uuid
    from sandbox.authority.manufacturer import Manufacturer

    device = None
    # A device that never was, or whose one-time memory is damaged, attests nothing.
    with contextlib.suppress(InfraError, FileNotFoundError, NotADirectoryError):
        device = device_uuid(flash.hardware_unique_key(machine.folder.flash))
    yield
    if device is not None:
        manufacturer = Manufacturer()
        certificate = manufacturer.endorsement(device)
        if certificate is not None:
            manufacturer.revoke(certificate.serial_number, "cessationOfOperation")
