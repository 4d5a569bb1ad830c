//! The only maker of sentences about proofs. What a file claims and what was proven have the same
//! words and different types: [`Certificate::claim`] of anything that was read,
//! [`Proven::statement`] only of what [`check`](super::check) returned.

use super::ball::ball;
use super::certificate::{
    Centre, Certificate, FileRef, ModelObstructed, ModelRate, ModelRef, ModelRefuted, Obstructed,
    Orbit, Reading, Reason, Refuted, TheoremA,
};

/// A certificate that was proven. Nothing but [`check`](super::check) makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Proven {
    certificate: Certificate,
    remarks: Vec<String>,
}

impl Proven {
    /// Of a certificate whose every claim is proven, and the `statement` that stood in its file.
    pub(crate) fn new(certificate: Certificate, found: Option<&str>) -> Proven {
        let mut remarks = Vec::new();
        let tail = match &certificate {
            Certificate::TheoremA(c) if c.orbit.is_none() => Some((&c.centre, &c.instance.file)),
            Certificate::ModelRate(c) if c.orbit.is_none() => {
                Some((&c.centre, &c.model.tensors.file))
            }
            _ => None,
        };
        if let Some((centre, file)) = tail.filter(|(centre, _)| centre.t > 0) {
            remarks.push(format!(
                "nothing here ties {} to step {} of a run from {file}: what is proven starts at its weights",
                centre.file, centre.t
            ));
        }
        if found.is_some_and(|found| found != sentence(&certificate)) {
            remarks.push(
                "the file's own \"statement\" is not the one that follows from its numbers: only what is said here is proven"
                    .to_owned(),
            );
        }
        Proven { certificate, remarks }
    }

    /// What is proven.
    pub fn statement(&self) -> String {
        sentence(&self.certificate)
    }

    /// Which files it is about.
    pub fn about(&self) -> String {
        self.certificate.about()
    }

    /// What a reader of the file should know beside it: a step that nothing ties to a run, a
    /// `statement` that differs.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl Certificate {
    /// What the certificate claims, said as a claim.
    pub fn claim(&self) -> String {
        format!("Claimed, not re-proven here: {}", sentence(self))
    }

    /// The files it is about: the instance, and the centre of a tail.
    pub fn files(&self) -> Vec<FileRef> {
        match self {
            Certificate::TheoremA(c) => {
                let mut files = vec![c.instance.clone(), c.centre.file_ref()];
                files.dedup();
                files
            }
            Certificate::Obstructed(c) => vec![c.instance.clone()],
            Certificate::Refuted(c) => vec![c.instance.clone()],
            Certificate::ModelRate(c) => {
                let mut files = c.model.files();
                files.push(c.centre.file_ref());
                files.dedup();
                files
            }
            Certificate::ModelRefuted(c) => c.model.files(),
            Certificate::ModelObstructed(c) => c.model.files(),
        }
    }

    /// Which files it is about, in words.
    pub fn about(&self) -> String {
        let files = self.files();
        let named = files.iter().map(|f| format!("{} (SHA-256 {})", f.file, f.sha256));
        let other = if files.len() == 1 { "no other file" } else { "no other files" };
        format!("It is about {} and {other}.", named.collect::<Vec<_>>().join(", "))
    }
}

/// What the numbers say if they are what they are called.
pub(crate) fn sentence(certificate: &Certificate) -> String {
    match certificate {
        Certificate::TheoremA(c) => match &c.orbit {
            None => rate(&Rate::of(c)),
            Some(orbit) => from_start(&Rate::of(c), orbit),
        },
        Certificate::Obstructed(c) => obstruction(c),
        Certificate::Refuted(c) => refutation(&Violation::of(c)),
        Certificate::ModelRate(c) => match &c.orbit {
            None => rate(&Rate::of_model(c)),
            Some(orbit) => from_start(&Rate::of_model(c), orbit),
        },
        Certificate::ModelRefuted(c) => refutation(&Violation::of_model(c)),
        Certificate::ModelObstructed(c) => standstill(c),
    }
}

/// What a sentence about a rate needs.
struct Rate<'a> {
    /// Gradient descent on what.
    what: String,
    file: &'a str,
    centre: &'a Centre,
    reading: &'a Reading,
    eta: f64,
    beta: f64,
    rate_lower: f64,
}

impl<'a> Rate<'a> {
    fn of(c: &'a TheoremA) -> Self {
        Rate {
            what: format!("{} ({} attention)", c.trained, c.kernel),
            file: &c.instance.file,
            centre: &c.centre,
            reading: &c.reading,
            eta: c.eta,
            beta: c.beta,
            rate_lower: c.rate_lower,
        }
    }

    fn of_model(c: &'a ModelRate) -> Self {
        Rate {
            what: of_model(&c.model, &c.trained),
            file: &c.model.tensors.file,
            centre: &c.centre,
            reading: &c.reading,
            eta: c.eta,
            beta: c.beta,
            rate_lower: c.rate_lower,
        }
    }
}

/// Names stand in quotes: anybody may have chosen them.
fn of_model(model: &ModelRef, trained: &[String]) -> String {
    let names: Vec<String> = trained.iter().map(|name| format!("{name:?}")).collect();
    format!("{} (the model {})", names.join(", "), model.file)
}

/// What a sentence about a violation needs.
struct Violation<'a> {
    what: String,
    file: &'a str,
    reading: &'a Reading,
    eta: f64,
    beta: f64,
    t: u64,
    loss_lower: f64,
    bound_upper: f64,
}

impl<'a> Violation<'a> {
    fn of(c: &'a Refuted) -> Self {
        let Refuted { reading, eta, beta, t, loss_lower, bound_upper, .. } = c;
        let what = format!("{} ({} attention)", c.trained, c.kernel);
        let (eta, beta, t, loss_lower, bound_upper) = (*eta, *beta, *t, *loss_lower, *bound_upper);
        Violation { what, file: &c.instance.file, reading, eta, beta, t, loss_lower, bound_upper }
    }

    fn of_model(c: &'a ModelRefuted) -> Self {
        let ModelRefuted { reading, eta, beta, t, loss_lower, bound_upper, .. } = c;
        let what = of_model(&c.model, &c.trained);
        let (eta, beta, t, loss_lower, bound_upper) = (*eta, *beta, *t, *loss_lower, *bound_upper);
        let file = &c.model.tensors.file;
        Violation { what, file, reading, eta, beta, t, loss_lower, bound_upper }
    }
}

fn rate(c: &Rate) -> String {
    let start = match c.centre.t {
        0 => format!("the weights of {}", c.file),
        t => format!(
            "the weights of {} (called step {t} of a run from {}, which is not part of this proof)",
            c.centre.file, c.file
        ),
    };
    let claim = (ball(c.eta) * ball(c.beta)).upper();
    format!(
        "Exact gradient descent on {} with step eta = {:?} from {start} has f_(s+1) <= (1 - {:?}) f_s for every \
         s >= 0, which covers (1 - eta beta)^s f_0 for {}, eta beta <= {claim:?}.",
        c.what,
        c.eta,
        c.rate_lower,
        match &c.reading {
            Reading::Own(name) => format!("the claim {name}, beta = {:?}", c.beta),
            reading => format!("the {reading} beta of {}, which is at most {:?}", c.file, c.beta),
        },
    )
}

fn from_start(c: &Rate, orbit: &Orbit) -> String {
    let claim = (ball(c.eta) * ball(c.beta)).upper();
    format!(
        "Exact gradient descent on {} with step eta = {:?} from the weights of {} has f_t <= (1 - eta b)^t f_0 for \
         every t >= 0, b = {:?} {}, eta b <= {claim:?}; at t = {} it is within {:?} of the weights of {}, \
         and from there on f_(t+1) <= (1 - {:?}) f_t.",
        c.what,
        c.eta,
        c.file,
        c.beta,
        match &c.reading {
            Reading::Own(name) => format!("as the claim {name} says"),
            reading => format!("being at least its {reading} beta"),
        },
        orbit.steps,
        orbit.distance,
        c.centre.file,
        c.rate_lower,
    )
}

fn refutation(c: &Violation) -> String {
    format!(
        "Exact gradient descent on {} with step eta = {:?} from the weights of {} exceeds the bound \
         f_t <= (1 - eta beta)^t f_0 for {}, at t = {}: f_t is at least {:?}, the bound is at most {:?}.",
        c.what,
        c.eta,
        c.file,
        match &c.reading {
            Reading::Own(name) => format!("the claim {name}, beta = {:?}", c.beta),
            reading => format!("its {reading} beta, which is at least {:?}", c.beta),
        },
        c.t,
        c.loss_lower,
        c.bound_upper,
    )
}

fn standstill(c: &ModelObstructed) -> String {
    format!(
        "Exact gradient descent on {} from the weights of {} never moves, whatever its step: the gradient there is 0, and \
         the loss at least {:?}.",
        of_model(&c.model, &c.trained),
        c.model.tensors.file,
        c.loss_lower
    )
}

fn obstruction(c: &Obstructed) -> String {
    let because = match c.reason {
        Reason::Hull => "the labels leave the hull of the values",
        Reason::ZeroGradient => "no value depends on its token, so gradient descent does not move",
    };
    format!(
        "No choice of {} brings the loss of {} ({} attention) below {:?}: {because}.",
        c.trained, c.instance.file, c.kernel, c.loss_lower
    )
}
