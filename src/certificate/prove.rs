//! Attention's centre: what Theorem A needs to know of an instance at its weights.
//!
//! Cheap forms are tried before sharp ones: the ball with the closed form of h, the ball with the sharp H, then the box with
//! every choice of A.

use super::grounds::{Form, Grounds, Proof};
use super::theorem_a::{Closed, Inputs, Region};
use super::{Box3, Centre, Certificate, Claimed, FileRef, MARGIN, TheoremA, statement};
use crate::bounds::sharp::affordable;
use crate::bounds::{BlockMatrix, Blocks, Curvature, Enclosure, Sharp};
use crate::model::Trained;
use crate::problem::Instance;
use crate::spectrum::Reading;
use gdcert_numbers::{Interval, NotResolved, Scalar};
use std::sync::OnceLock;

impl Proof {
    /// The certificate for a claim about an instance, about files that hold the instance and the centre.
    pub fn certificate(
        &self,
        claimed: &Claimed,
        (instance, trained): (&Instance, Trained),
        file: FileRef,
        centre: Centre,
    ) -> TheoremA {
        let (inputs, closed) = self.numbers();
        let Closed {
            region,
            radii,
            eta,
            conditions,
        } = closed;
        let (rho, region) = match region {
            Region::Ball => (radii.iter().fold(0.0, |a: f64, b| a.max(*b)), None),
            Region::Box => {
                let resolved = Trained::from_flags(inputs.resolved);
                let of_box = resolved.map(|resolved| Box3 {
                    resolved,
                    radii: (*radii).into(),
                    jacobian_norms_upper: inputs.blocks.into(),
                });
                (conditions.path.hi(), of_box)
            }
        };
        let mut certificate = TheoremA {
            instance: file,
            kernel: instance.kernel(),
            trained,
            centre,
            reading: claimed.name.clone(),
            beta: claimed.upper(),
            alpha_lower: inputs.alpha,
            jacobian_norm_upper: inputs.jacobian,
            residual_norm_upper: inputs.residual,
            rho,
            h_rho_upper: conditions.h.hi(),
            alpha: conditions.alpha.lo(),
            smoothness: conditions.smoothness.hi(),
            eta: *eta,
            rate_lower: conditions.rate.lo(),
            region,
            orbit: None,
            margin: MARGIN,
            statement: String::new(),
        };
        certificate.statement = statement(&Certificate::TheoremA(certificate.clone()));
        certificate
    }
}

/// A centre with everything that a proof there rests on, evaluated when asked for.
pub(crate) struct Site<'a> {
    instance: &'a Instance,
    trained: Trained,
    enclosure: OnceLock<Enclosure<'a>>,
    crude: OnceLock<Curvature<Interval>>,
    sharp: OnceLock<Sharp<f64>>,
    rigorous_sharp: OnceLock<Sharp<Interval>>,
    distance: f64,
}

impl<'a> Site<'a> {
    /// At the instance's weights.
    pub fn new(instance: &'a Instance, trained: Trained) -> Self {
        Site {
            instance,
            trained,
            enclosure: OnceLock::new(),
            crude: OnceLock::new(),
            sharp: OnceLock::new(),
            rigorous_sharp: OnceLock::new(),
            distance: 0.0,
        }
    }

    /// The blocks gradient descent moves.
    pub fn trained(&self) -> Trained {
        self.trained
    }

    /// The instance whose weights are the centre.
    pub fn instance(&self) -> &'a Instance {
        self.instance
    }

    /// The enclosures at this centre.
    pub fn enclosure(&self) -> &Enclosure<'a> {
        let evaluate = || Enclosure::new(self.instance, self.trained);
        self.enclosure.get_or_init(evaluate)
    }

    /// The claim of a reading at this point.
    pub fn claimed(&self, reading: Reading) -> Claimed {
        Claimed::reading(reading, self.enclosure().beta(reading))
    }
}

impl Grounds for Site<'_> {
    fn forms(&self) -> Vec<Form> {
        if !affordable(self.instance.dims()) {
            return vec![Form::Crude];
        }
        let flags = self.trained.flags();
        let mut forms = vec![Form::Crude, Form::Ball, Form::Box(flags)];
        let [q, k, v] = flags;
        if v && (q || k) {
            forms.extend([[false, false, true], [q, k, false]].map(Form::Box));
        }
        forms
    }

    fn has_more(&self) -> bool {
        true
    }

    fn moves(&self) -> Blocks<bool> {
        self.trained.flags()
    }

    fn inputs(&self, form: Form) -> Result<Inputs, NotResolved> {
        let on = self.trained.flags();
        let enclosure = self.enclosure();
        let jacobian = enclosure.jacobian_norm_upper();
        let (resolved, alpha, blocks) = match form {
            Form::Crude | Form::Ball => {
                let blocks = on.map(|on| if on { jacobian } else { 0.0 });
                (on, enclosure.alpha_lower()?, blocks)
            }
            Form::Box(A) => {
                let of = Trained::from_flags(A).ok_or(NotResolved::NOTHING_KNOWN)?;
                let blocks = enclosure.block_norms_upper();
                (A, enclosure.alpha_lower_of(of)?, blocks)
            }
        };
        Ok(Inputs {
            alpha,
            resolved,
            blocks,
            jacobian,
            residual: enclosure.residual_norm().hi(),
        })
    }

    fn curvature(&self, radius: f64) -> Interval {
        let crude = self.crude.get_or_init(|| self.enclosure().curvature());
        crude.h(radius)
    }

    fn sharp(&self, radii: &Blocks<f64>) -> BlockMatrix<f64> {
        let sharp = || Sharp::new(self.instance, self.trained);
        self.sharp.get_or_init(sharp).H(radii)
    }

    fn rigorous_sharp(&self, radii: &Blocks<f64>) -> BlockMatrix<Interval> {
        let sharp = || Sharp::new(self.instance, self.trained);
        let sharp = self.rigorous_sharp.get_or_init(sharp);
        sharp.H(&radii.map(Interval::from_f64))
    }

    fn distance(&self) -> f64 {
        self.distance
    }

    fn widen(&mut self, distance: f64) {
        self.distance = distance;
    }
}
