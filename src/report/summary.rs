use crate::spectrum::Reading;
use crate::verify::Verification;
/// x
pub fn summary(found: &Verification, title: &str, deciding: Reading) -> String {
    let mut s = format!(
        "{title}\n eta {} steps {} f0 {:e} fT {:e} rates {:?}\n",
        found.trajectory.eta,
        found.last().t,
        found.loss0(),
        found.last().loss,
        found.measured_rates()
    );
    for c in &found.claims {
        s += &format!(
            "{:?} {} rate {:e} slack {:?} {}\n",
            c.reading, c.verdict, c.rate, c.min_slack, c.reason
        );
    }
    s += &format!("deciding {deciding}\n");
    s
}
