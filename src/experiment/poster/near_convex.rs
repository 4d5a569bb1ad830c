//! Near convexity: the initialization puts the weights where the loss is nearly convex, and they move only a bit.

use super::{Answer, Case, Experiment, Finding, Preset, SMALL, Work};
use crate::experiment::convexity::Convexity;
use crate::problem::Dims;
use gdcert_base::number::exact;
use serde_json::{Map, Value, json};

/// Lazy instances of growing scale, both kernels.
#[derive(Clone, Debug)]
pub struct ConvexityCase {
    /// Sizes.
    pub dims: Dims,
    /// Values of omega.
    pub scales: Vec<f64>,
    /// Seeds of the draws.
    pub seeds: u64,
    /// Steps of a run.
    pub steps: usize,
}

pub(super) fn experiment(preset: Preset) -> Experiment {
    let seeds = match preset {
        Preset::Quick => 1,
        Preset::Paper => 10,
    };
    Experiment {
        name: "near-convex",
        question: "Does the initialization put the weights in a nearly convex region, and do they move only a bit?",
        statement: "From a suitable initialization gradient descent stays in a small region in which the loss is nearly convex: the \
                    smallest eigenvalue of its Hessian is far above minus the largest one",
        cases: vec![Case {
            name: "lazy",
            shows: "the lazy initialization, omega from 1 to 100,000: proven along the exact orbit, and measured",
            work: Work::Convexity(ConvexityCase {
                dims: SMALL,
                scales: (0..=10).map(|i| 10f64.powf(0.5 * f64::from(i))).collect(),
                seeds,
                steps: 4000,
            }),
        }],
        answer,
        needs_imdb: false,
        minutes: match preset {
            Preset::Quick => 0.5,
            Preset::Paper => 5.0,
        },
    }
}

/// The numbers that the answer rests on: at the smallest and the largest omega, the worse of the kernels and seeds.
pub fn convexity_numbers(all: &[Convexity]) -> Map<String, Value> {
    let least = all.iter().map(|c| c.omega).fold(f64::INFINITY, f64::min);
    let most = all.iter().map(|c| c.omega).fold(0.0, f64::max);
    let certified = all.iter().filter(|c| c.hessian_lower.is_some()).count();
    let at_start = all.iter().filter(|c| c.certified_from == Some(0)).count();
    let mut numbers = Map::new();
    let mut put = |name: &str, value: Value| numbers.insert(name.to_owned(), value);
    put("instances", json!(all.len()));
    put("certified", json!(certified));
    put("certified_at_start", json!(at_start));
    for (name, omega) in [("smallest", least), ("largest", most)] {
        let at = || all.iter().filter(move |c| c.omega == omega);
        let worst = |of: &dyn Fn(&Convexity) -> Option<f64>| {
            let found: Option<Vec<f64>> = at().map(of).collect();
            found.map(|found| found.into_iter().fold(0.0, f64::max))
        };
        put(&format!("{name}_omega"), json!(omega));
        put(
            &format!("{name}_proven"),
            json!(worst(&|c| Some(
                -c.hessian_lower? / c.jacobian_norm_squared
            ))),
        );
        put(
            &format!("{name}_measured"),
            json!(worst(&|c| Some(-c.hessian_run / c.jacobian_norm_squared))),
        );
        put(
            &format!("{name}_moved"),
            json!(worst(&|c| Some(c.moved / c.start_norm))),
        );
        put(
            &format!("{name}_share_of_region"),
            json!(worst(&|c| Some(c.moved / c.region?))),
        );
    }
    numbers
}

fn answer(found: &[Finding]) -> Answer {
    let [found] = found else {
        return Answer::incomplete();
    };
    let said = |name: &str| {
        found
            .number(name)
            .map_or("not proven".to_owned(), |x| format!("{x:.1e}"))
    };
    let omega = |name: &str| found.number(name).map_or(String::new(), exact);
    let share = found.number("largest_share_of_region");
    let region = share.map_or(String::new(), |x| {
        format!(", {x:.2} of the radius of the region in which that is proven")
    });
    let yes = match found.number("largest_proven") {
        Some(x) if x < 0.01 => "Yes, the more the larger the output weights",
        Some(_) => "Only partly",
        None => "Not proven",
    };
    Answer::new(
        "measured",
        format!(
            "{yes}. The smallest eigenvalue of the Hessian, as a share of |J_0|^2, is proven to be at least -{} along the exact orbit at \
             omega = {} and -{} at omega = {}; measured it is -{} and -{}. The weights move by {} and {} of |M_0|{region}. Proven \
             for every t on {} of {} instances, on {} of them from M_0 by Theorem A alone.",
            said("smallest_proven"),
            omega("smallest_omega"),
            said("largest_proven"),
            omega("largest_omega"),
            said("smallest_measured"),
            said("largest_measured"),
            said("smallest_moved"),
            said("largest_moved"),
            found.text("certified"),
            found.text("instances"),
            found.text("certified_at_start"),
        ),
    )
    .with("-smallest eigenvalue / |J_0|^2 at the largest omega, proven at most", found, "largest_proven")
    .with("measured", found, "largest_measured")
    .with("|M_t - M_0| / |M_0| there", found, "largest_moved")
}
