# SPDX-License-Identifier: Apache-2.0
"""The emulated manufacturer: it says which attestation keys are of devices that it made.

A real one does this in the factory, where it knows the HUK for a moment. Here whoever runs the
sandbox is the manufacturer, and the endorsement proves that a machine was made by this user's
sandbox: nothing about hardware.
"""

import uuid
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from sandbox import paths
from sandbox.authority import device
from sandbox.authority.ca import Authority, Clock, key_usage, subject_text
from sandbox.authority.ledger import utc_now

ATTESTATION_NAME = "attestation"


class Manufacturer(Authority):
    def __init__(self, folder: Path | None = None, clock: Clock = utc_now) -> None:
        where = folder or paths.manufacturer_dir()
        super().__init__(where, "optee-sandbox emulated manufacturer", clock)

    def endorse(self, huk: bytes) -> x509.Certificate:
        """The certificate of a device's attestation key: the same one when asked again."""
        key = device.attestation_key(huk).public_key()
        subject = attestation_subject(device.device_uuid(huk))
        # IEEE 802.1AR: a device's identity lives as long as the device.
        return self.sign(subject, key, key_usage(digital_signature=True), None, reuse=True)

    def endorsement(self, of: uuid.UUID) -> x509.Certificate | None:
        """Of a device that was endorsed earlier: the newest that is valid, or else was.

        A revoked one is handed out too, so that whoever verifies can say that it was revoked.
        """
        return self.newest(subject_text(attestation_subject(of)))


def ensure_endorsed(huk: bytes, folder: Path | None = None) -> None:
    """By this user's manufacturer: once for a device, so that what was revoked stays revoked."""
    manufacturer = Manufacturer(folder)
    if manufacturer.endorsement(device.device_uuid(huk)) is None:
        manufacturer.endorse(huk)


def attestation_subject(of: uuid.UUID) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, ATTESTATION_NAME),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, str(of)),
        ]
    )


def endorse(huk: bytes) -> x509.Certificate:
    """By this user's manufacturer, which is made now if there is none."""
    return Manufacturer().endorse(huk)
