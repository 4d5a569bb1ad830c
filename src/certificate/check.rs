//! The other side of a certificate: `gdcert-check`, a crate of its own that shares no code with this one.

use super::Certificate;
use crate::{Error, Result};
pub use gdcert_check::{Checked, Proven};
use std::path::Path;

/// Re-proves the certificate at `path` (or `certificate.json` in the folder `path`) from the files beside it.
///
/// # Errors
/// A file that cannot be read: no certificate of this schema, a missing or malformed instance.
///
/// ```
/// use gdcert::{certify, Certified, Dims, Goal, Init, Instance, Kernel};
/// use gdcert::certificate::{check, Checked};
///
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 1e4 }, 0)?;
/// let found = certify(&instance, &Goal::default())?;
/// let Certified::Rate { certificate, .. } = found else { panic!("closes at this scale") };
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("certificate.json");
/// instance.write(&folder.path().join("instance.safetensors"))?;
/// std::fs::write(&path, certificate.to_json().to_string()).unwrap();
/// let Checked::Valid(proven) = check(&path)? else { panic!("true") };
/// println!("{}", proven.statement());
///
/// let mut lie = certificate.to_json();
/// lie["alpha_lower"] = (1.01 * lie["alpha_lower"].as_f64().unwrap()).into();
/// std::fs::write(&path, lie.to_string()).unwrap();
/// let Checked::Unproven(why) = check(&path)? else { panic!("a false claim") };
/// assert!(why.starts_with("alpha_lower = "));
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn check(path: &Path) -> Result<Checked> {
    if !path.is_dir() {
        gdcert_base::input::regular(path).map_err(|what| Error::file(path, what))?;
    }
    gdcert_check::limit_threads(rayon::current_num_threads());
    gdcert_check::check(path).map_err(|error| {
        let file = error.file.as_deref().map_or(path, Path::new);
        Error::file(
            file,
            format!(
                "{}; give a certificate.json that gdcert wrote, with its files beside it",
                error.what
            ),
        )
    })
}

/// The same for a certificate that was not written yet; `read` gives the files it names.
pub(crate) fn recheck(
    certificate: &Certificate,
    read: &dyn Fn(&str) -> std::result::Result<Vec<u8>, String>,
) -> Result<Checked> {
    recheck_json(&certificate.to_json(), read)
}

/// The same for one as its file has it.
pub(crate) fn recheck_json(
    certificate: &serde_json::Value,
    read: &dyn Fn(&str) -> std::result::Result<Vec<u8>, String>,
) -> Result<Checked> {
    gdcert_check::limit_threads(rayon::current_num_threads());
    let json = certificate.to_string();
    let unreadable = |e: gdcert_check::Unreadable| Error::Numerical(e.what);
    let file = gdcert_check::CertificateFile::read(json.as_bytes()).map_err(unreadable)?;
    let read = |name: &str| {
        read(name).map_err(|what| gdcert_check::Unreadable {
            file: Some(name.to_owned()),
            what,
        })
    };
    file.certificate.check(&read).map_err(unreadable)
}
