//! The flags about exact orbits that verify and certify share.

use super::{one_of, whole};
use crate::{Error, Result};
use gdcert::orbit::Settings;

#[derive(clap::Args)]
pub(super) struct OrbitArgs {
    /// Enclose exact gradient descent from M_0, which decides every reading for it: auto (at most 256 times the run's
    /// work and two minutes, a second always), always (whatever it costs) or never
    #[arg(
        long,
        value_name = "auto|always|never",
        default_value = "auto",
        value_parser = one_of(&["auto", "always", "never"]),
        hide_possible_values = true
    )]
    orbit: String,
    /// The most bits after the point that it may take
    #[arg(long, value_name = "B", default_value = "4096", allow_negative_numbers = true, value_parser = whole::<usize>)]
    bits: usize,
}

impl OrbitArgs {
    /// How much an orbit may cost; `None`: none is wanted.
    pub(super) fn settings(&self) -> Result<Option<Settings>> {
        let work = match self.orbit.as_str() {
            "auto" => Settings::QUICK,
            "always" => Settings::ANY_WORK,
            "never" => return Ok(None),
            other => {
                return Err(Error::input(format!(
                    "--orbit {other} must be auto, always or never"
                )));
            }
        };
        let settings = Settings {
            bits: self.bits,
            ..work
        };
        settings.check()?;
        Ok(Some(settings))
    }
}
