//! Numbers over the rows of a sweep.

use crate::experiment::sweep::{Plan, Row};
use crate::model::{Kernel, Trained};
use crate::problem::Init;
use crate::spectrum::Reading;
use crate::verdict::Verdict;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A run has reached zero when its last loss is at most this share of f_0.
pub const REACHED: f64 = 1e-6;

/// Trials by verdict, in the order of [`Verdict::ALL`].
pub type Verdicts = [u64; 8];

/// Everything that is counted.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Trials seen.
    pub trials: u64,
    /// Trials that could not be carried out.
    pub errors: u64,
    /// By kernel, trained blocks and initialization.
    pub groups: BTreeMap<Key, Group>,
    /// By the same, HD / (Nn) and scale.
    pub phase: BTreeMap<(Key, Positive, Option<Positive>), Cell>,
    /// By kernel and logit scale, if the sweep has more than one of these: |J_Q|.
    pub vanishing: BTreeMap<(Key, Positive), Vec<f64>>,
    /// Pairs of trials with W^Q alone trained that differ in the kernel only: whether softmax and Gaussian reached zero.
    pairs: BTreeMap<PairKey, [Option<bool>; 2]>,
    scale_bins: bool,
    logit_bins: bool,
    logit_scales: bool,
}

/// Kernel, trained blocks and initialization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    gaussian: bool,
    blocks: [bool; 3],
    init: &'static str,
}

/// A positive number that can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Positive(u64);

type PairKey = ([usize; 6], &'static str, [u64; 3], u64);

/// What is known of the trials of one kernel, trained blocks and initialization.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Trials that could be carried out.
    pub trials: u64,
    /// Those with HD >= Nn.
    pub wide: u64,
    /// Verdicts of each reading.
    pub verdicts: [Verdicts; 4],
    /// Of those with HD >= Nn.
    pub wide_verdicts: [Verdicts; 4],
    /// measured rate / claimed rate of each reading, where it applies.
    pub tightness: [Vec<f64>; 4],
    /// Smallest log(bound_t / f_t) of each reading.
    pub min_slack: [Vec<f64>; 4],
    /// T of the certificates by Theorem A; 0 at M_0.
    pub certificate_t: Vec<f64>,
    /// In how many of these trials what is proven starts at M_0, the exact orbit being enclosed up to T.
    pub orbits: u64,
    /// Trials whose loss can not reach 0 by the hull bound.
    pub hull: u64,
    /// The same by a gradient that is 0.
    pub zero_gradient: u64,
    /// f_T / f_0.
    pub final_loss_relative: Vec<f64>,
    /// (f_hull / f_0, f_T / f_0) of each trial with a hull bound.
    pub hull_and_final: Vec<(f64, f64)>,
    /// Trials that reached zero.
    pub reached: u64,
    /// Trials that reached zero with HD >= Nn.
    pub wide_reached: u64,
}

/// A cell of the phase diagram.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell {
    /// Trials.
    pub trials: u64,
    /// Verdicts of each reading.
    pub verdicts: [Verdicts; 4],
    /// Trials that reached zero.
    pub reached: u64,
}

impl Positive {
    /// Of a finite number above 0.
    fn of(x: f64) -> Self {
        Positive(x.to_bits())
    }

    /// The number.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// The nearest quarter of a decade.
    fn binned(x: f64) -> Self {
        Positive::of(10f64.powf((4.0 * x.log10()).round() / 4.0))
    }
}

impl Key {
    fn of(row: &Row) -> Key {
        let known = Init::NAMES.into_iter().find(|name| *name == row.init);
        Key::new(row.kernel, row.trained, known.unwrap_or("unknown"))
    }

    /// Of an initialization of [`Init::NAMES`].
    pub fn new(kernel: Kernel, trained: Trained, init: &'static str) -> Key {
        Key {
            gaussian: kernel == Kernel::Gaussian,
            blocks: trained.flags(),
            init,
        }
    }

    /// The kernel.
    pub fn kernel(self) -> Kernel {
        if self.gaussian {
            Kernel::Gaussian
        } else {
            Kernel::Softmax
        }
    }

    /// The trained blocks.
    pub fn trained(self) -> Trained {
        Trained::from_flags(self.blocks).unwrap_or(Trained::QKV)
    }

    /// The initialization.
    pub fn init(self) -> &'static str {
        self.init
    }

    fn json(self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("kernel".into(), json!(self.kernel()));
        map.insert("trained".into(), json!(self.trained().to_string()));
        map.insert("init".into(), json!(self.init));
        map
    }
}

impl Statistics {
    /// For the rows of this plan.
    pub fn new(plan: &Plan) -> Self {
        Statistics {
            trials: 0,
            errors: 0,
            groups: BTreeMap::new(),
            phase: BTreeMap::new(),
            vanishing: BTreeMap::new(),
            pairs: BTreeMap::new(),
            scale_bins: plan.scale_is_drawn(),
            logit_bins: plan.logit_scale_is_drawn(),
            logit_scales: plan.has_logit_scales(),
        }
    }

    /// Counts a row.
    pub fn add(&mut self, row: &Row) {
        self.trials += 1;
        let key = Key::of(row);
        let bin = |binned: bool, x| match binned {
            true => Positive::binned(x),
            false => Positive::of(x),
        };
        // Also where it is too small for a step to be made of it.
        if let (Some(norm), true) = (row.jacobian_norm_q, self.logit_scales) {
            let at = (key, bin(self.logit_bins, row.logit_scale));
            self.vanishing.entry(at).or_default().push(norm);
        }
        if row.error.is_some() {
            self.errors += 1;
            return;
        }
        let dims = row.dims;
        let (width, tokens) = (dims.H * dims.D, dims.tokens());
        let wide = width >= tokens;
        let relative = row.final_loss_relative;
        let reached = relative.is_some_and(|share| share <= REACHED);
        self.groups.entry(key).or_default().add(row, wide, reached);

        let ratio = Positive::of(width as f64 / tokens as f64);
        let scale = row.scale.map(|x| bin(self.scale_bins, x));
        let cell = self.phase.entry((key, ratio, scale)).or_default();
        cell.trials += 1;
        cell.reached += u64::from(reached);
        count(&mut cell.verdicts, row);

        if row.trained == Trained::Q {
            let [scale, logit, eta] =
                [row.scale.unwrap_or(0.0), row.logit_scale, row.eta_multiple].map(f64::to_bits);
            let sizes = [dims.N, dims.n, dims.D, dims.d, dims.H, dims.p];
            let pair = (sizes, key.init, [scale, logit, eta], row.seed);
            self.pairs.entry(pair).or_default()[usize::from(key.gaussian)] = Some(reached);
        }
    }

    /// By initialization, of the pairs of trials that differ in the kernel only, W^Q alone trained: how many reached zero
    /// with both kernels, with softmax only, with the Gaussian only, with neither.
    pub fn pairs(&self) -> BTreeMap<&'static str, [u64; 4]> {
        let mut counts = BTreeMap::<_, [u64; 4]>::new();
        for ((_, init, ..), pair) in &self.pairs {
            if let [Some(softmax), Some(gaussian)] = *pair {
                let at = 2 * usize::from(!softmax) + usize::from(!gaussian);
                // (yes, no) is 1, (no, yes) is 2.
                counts.entry(*init).or_default()[at] += 1;
            }
        }
        counts
    }

    /// `groups`, `phase`, `vanishing` and `kernels_with_query_alone` of `summary.json`.
    pub fn json(&self) -> Value {
        let groups = self.groups.iter().map(|(key, group)| {
            let mut map = key.json();
            map.append(&mut group.json());
            Value::Object(map)
        });
        let phase = self.phase.iter().map(|((key, ratio, scale), cell)| {
            let mut map = key.json();
            map.insert("hd_over_nn".into(), json!(ratio.value()));
            map.insert("scale".into(), json!(scale.map(Positive::value)));
            map.insert("trials".into(), json!(cell.trials));
            map.insert("reached_zero".into(), json!(cell.reached));
            map.insert("verdicts".into(), verdicts_json(&cell.verdicts));
            Value::Object(map)
        });
        let vanishing = self.vanishing.iter().map(|((key, logit_scale), norms)| {
            let mut map = key.json();
            map.insert("logit_scale".into(), json!(logit_scale.value()));
            map.insert("jacobian_norm_q".into(), Quantiles::of(norms).json());
            Value::Object(map)
        });
        let pairs = self.pairs().into_iter().map(|(init, counts)| {
            let [both, softmax, gaussian, neither] = counts;
            json!({
                "init": init,
                "both_reach_zero": both,
                "only_softmax": softmax,
                "only_gaussian": gaussian,
                "neither": neither,
            })
        });
        json!({
            "reached_zero_below": REACHED,
            "groups": groups.collect::<Vec<_>>(),
            "query_alone_pairs": pairs.collect::<Vec<_>>(),
            "phase": phase.collect::<Vec<_>>(),
            "vanishing": vanishing.collect::<Vec<_>>(),
        })
    }
}

fn count(verdicts: &mut [Verdicts; 4], row: &Row) {
    for (verdicts, reading) in verdicts.iter_mut().zip(&row.readings) {
        let at = reading
            .verdict
            .and_then(|verdict| Verdict::ALL.iter().position(|v| *v == verdict));
        if let Some(at) = at {
            verdicts[at] += 1;
        }
    }
}

fn verdicts_json(verdicts: &[Verdicts; 4]) -> Value {
    let of_reading = |verdicts: &Verdicts| {
        let named = Verdict::ALL.iter().zip(verdicts);
        named
            .map(|(verdict, count)| (verdict.name().to_owned(), json!(count)))
            .collect::<Map<_, _>>()
    };
    by_reading(|i| Value::Object(of_reading(&verdicts[i])))
}

fn by_reading(value: impl Fn(usize) -> Value) -> Value {
    let named = Reading::ALL.iter().enumerate();
    Value::Object(
        named
            .map(|(i, reading)| (reading.name().to_owned(), value(i)))
            .collect(),
    )
}

impl Group {
    fn add(&mut self, row: &Row, wide: bool, reached: bool) {
        self.trials += 1;
        self.reached += u64::from(reached);
        count(&mut self.verdicts, row);
        if wide {
            self.wide += 1;
            self.wide_reached += u64::from(reached);
            count(&mut self.wide_verdicts, row);
        }
        for (i, reading) in row.readings.iter().enumerate() {
            self.tightness[i].extend(reading.tightness);
            self.min_slack[i].extend(reading.min_slack);
        }
        match row.certificate.as_deref() {
            Some("hull") => self.hull += 1,
            Some("zero_gradient") => self.zero_gradient += 1,
            found => {
                self.orbits += u64::from(found == Some("orbit"));
                self.certificate_t
                    .extend(row.certificate_t.map(|t| t as f64));
            }
        }
        self.final_loss_relative.extend(row.final_loss_relative);
        if let (Some(hull), Some(f0), Some(share)) =
            (row.f_hull, row.loss0, row.final_loss_relative)
        {
            self.hull_and_final.push((hull / f0, share));
        }
    }

    fn json(&self) -> Map<String, Value> {
        let quantiles = |of: &[Vec<f64>; 4]| by_reading(|i| Quantiles::of(&of[i]).json());
        let narrow = |i: usize| {
            let mut verdicts = self.verdicts[i];
            for (all, wide) in verdicts.iter_mut().zip(self.wide_verdicts[i]) {
                *all -= wide;
            }
            verdicts
        };
        let at_start = self.certificate_t.iter().filter(|t| **t == 0.0).count();
        let json = json!({
            "trials": self.trials,
            "reached_zero": self.reached,
            "verdicts": verdicts_json(&self.verdicts),
            "hd_at_least_nn": {
                "trials": self.wide,
                "reached_zero": self.wide_reached,
                "verdicts": verdicts_json(&self.wide_verdicts),
            },
            "hd_below_nn": {
                "trials": self.trials - self.wide,
                "reached_zero": self.reached - self.wide_reached,
                "verdicts": verdicts_json(&[0, 1, 2, 3].map(narrow)),
            },
            "tightness": quantiles(&self.tightness),
            "min_slack": quantiles(&self.min_slack),
            "final_loss_relative": Quantiles::of(&self.final_loss_relative).json(),
            "certificates": {
                "theorem_a_at_start": at_start,
                "orbit": self.orbits,
                "theorem_a_tail": self.certificate_t.len() - at_start - self.orbits as usize,
                "t": Quantiles::of(&self.certificate_t).json(),
                "hull": self.hull,
                "zero_gradient": self.zero_gradient,
            },
        });
        match json {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

/// Order statistics of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// How many numbers.
    pub count: usize,
    /// The smallest, the quantiles 0.1, 0.5, 0.9 (nearest rank), and the largest; NaN of no numbers.
    pub values: [f64; 5],
}

impl Quantiles {
    /// Of these numbers.
    pub fn of(numbers: &[f64]) -> Self {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            let index = rank.clamp(1, sorted.len().max(1)) - 1;
            sorted.get(index).copied().unwrap_or(f64::NAN)
        };
        Quantiles {
            count: sorted.len(),
            values: [0.0, 0.1, 0.5, 0.9, 1.0].map(at),
        }
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.values[2]
    }

    fn json(&self) -> Value {
        let [min, q10, median, q90, max] = self.values.map(|x| x.is_finite().then_some(x));
        json!({"count": self.count, "min": min, "q10": q10, "median": median, "q90": q90, "max": max})
    }
}
