//! Claims of the user's own, which verify and certify share.

use crate::Result;
use gdcert::certificate::OwnClaim;

#[derive(clap::Args)]
pub(super) struct ClaimArgs {
    /// A claim of your own beside the readings: NAME=BETA claims f_t <= (1 - eta BETA)^t f_0, NAME=rate:X a rate X a step
    /// whatever eta is; repeat the flag for more
    #[arg(long = "claim", value_name = "NAME=BETA|NAME=rate:X")]
    claims: Vec<String>,
}

impl ClaimArgs {
    pub(super) fn read(&self) -> Result<Vec<OwnClaim>> {
        self.claims.iter().map(|text| text.parse()).collect()
    }
}
