//! The files a certificate names.

use super::Unreadable;
use super::certificate::{FileRef, Kernel};
use super::claims::{Proof, require};
use super::instance::Instance;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The bytes of the file with this plain name, beside the certificate.
pub(crate) type Files<'a> = dyn Fn(&str) -> Result<Vec<u8>, Unreadable> + 'a;

/// Rows of the largest matrix that is decomposed.
pub(crate) const LARGEST: usize = 1 << 15;

/// The instance in the file, if its bytes and its kernel are the certificate's.
pub(crate) fn read(from: &FileRef, kernel: Kernel, files: &Files) -> Proof<Instance> {
    let file = &from.file;
    let bytes = bytes(from, files)?;
    let instance = Instance::read(&bytes).map_err(|e| e.about(file))?;
    let found = instance.kernel;
    require(found == kernel, || {
        format!("{file} has the kernel {found}, the certificate says {kernel}")
    })?;
    let m = instance.dims.m();
    require(m <= LARGEST, || {
        format!("{file} has {m} residuals; more than {LARGEST} are not looked at")
    })?;
    Ok(instance)
}

/// The bytes of a file, if they are the certificate's.
pub(crate) fn bytes(from: &FileRef, files: &Files) -> Proof<Vec<u8>> {
    let file = &from.file;
    let name = Path::new(file);
    let plain = name.file_name() == Some(name.as_os_str()) && !file.contains(['/', '\\']);
    require(plain, || format!("{file:?} is not the plain name of a file beside the certificate"))?;
    let bytes = files(file)?;
    let (found, said) = (sha256(&bytes), &from.sha256);
    require(found == *said, || {
        format!("{file} has the SHA-256 {found}, the certificate says {said:?}")
    })?;
    Ok(bytes)
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
