//! Functions of one number.

use gdcert_numbers::{Sign, Smooth};

/// A function that [`Operation::Map`](crate::Operation::Map) applies to every entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// e^x.
    Exp,
    /// The natural logarithm, x > 0.
    Log,
    /// log(1 + x), x > -1.
    Log1p,
    /// e^x - 1.
    Expm1,
    /// The square root, x > 0.
    Sqrt,
    /// 1 / sqrt(x), x > 0.
    Rsqrt,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x).
    Logistic,
    /// log(1 + e^x).
    Softplus,
    /// 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.
    Erf,
    /// 1 - erf(x).
    Erfc,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// The inverse tangent.
    Atan,
    /// x^k for an integer k; x != 0 where k < 0.
    IntegerPow(i32),
    /// x^a, x > 0.
    Pow(f64),
    /// max(x, 0). Kinked: see [`Kink`](crate::Kink).
    Relu,
    /// |x|. Kinked.
    Abs,
}

impl Function {
    /// Those without an exponent.
    pub const PLAIN: [Function; 16] = [
        Function::Exp,
        Function::Log,
        Function::Log1p,
        Function::Expm1,
        Function::Sqrt,
        Function::Rsqrt,
        Function::Tanh,
        Function::Logistic,
        Function::Softplus,
        Function::Erf,
        Function::Erfc,
        Function::Sin,
        Function::Cos,
        Function::Atan,
        Function::Relu,
        Function::Abs,
    ];

    /// The name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Function::Exp => "exp",
            Function::Log => "log",
            Function::Log1p => "log1p",
            Function::Expm1 => "expm1",
            Function::Sqrt => "sqrt",
            Function::Rsqrt => "rsqrt",
            Function::Tanh => "tanh",
            Function::Logistic => "logistic",
            Function::Softplus => "softplus",
            Function::Erf => "erf",
            Function::Erfc => "erfc",
            Function::Sin => "sin",
            Function::Cos => "cos",
            Function::Atan => "atan",
            Function::IntegerPow(_) => "integer_pow",
            Function::Pow(_) => "pow",
            Function::Relu => "relu",
            Function::Abs => "abs",
        }
    }

    /// Whether the derivative jumps at 0.
    pub fn is_kinked(self) -> bool {
        matches!(self, Function::Relu | Function::Abs)
    }

    /// phi(x). A kinked function where the side is not known: its value at [`value`](gdcert_numbers::Scalar::value).
    pub fn value<T: Smooth>(self, x: T) -> T {
        let one = T::from_f64(1.0);
        match self {
            Function::Exp => x.exp(),
            Function::Log => x.log(),
            Function::Log1p => x.log1p(),
            Function::Expm1 => x.expm1(),
            Function::Sqrt => x.sqrt(),
            Function::Rsqrt => one / x.sqrt(),
            Function::Tanh => x.tanh(),
            Function::Logistic => x.logistic(),
            Function::Softplus => x.softplus(),
            Function::Erf => x.erf(),
            Function::Erfc => x.erfc(),
            Function::Sin => x.sin(),
            Function::Cos => x.cos(),
            Function::Atan => x.atan(),
            Function::IntegerPow(k) => integer_power(x, k),
            Function::Pow(a) => power(x, a),
            Function::Relu => match x.sign() {
                Sign::Positive => x,
                Sign::Negative => T::from_f64(0.0),
                Sign::Unknown => T::from_f64(x.value().max(0.0)),
            },
            Function::Abs => match x.sign() {
                Sign::Negative => -x,
                _ => x,
            },
        }
    }

    /// phi'(x), where y = phi(x). Of a kinked function where the side is not known: 0, and nothing known of numbers that enclose.
    pub fn derivative<T: Smooth>(self, x: T, y: T) -> T {
        let number = T::from_f64;
        let one = number(1.0);
        match self {
            Function::Exp => y,
            Function::Log => one / x,
            Function::Log1p => one / (one + x),
            Function::Expm1 => x.exp(),
            Function::Sqrt => one / (y + y),
            Function::Rsqrt => -(number(0.5) * y) / x,
            Function::Tanh => (one - y) * (one + y),
            Function::Logistic => y * (one - y),
            Function::Softplus => x.logistic(),
            Function::Erf => T::two_over_root_pi() * (-(x * x)).exp(),
            Function::Erfc => -(T::two_over_root_pi() * (-(x * x)).exp()),
            Function::Sin => x.cos(),
            Function::Cos => -x.sin(),
            Function::Atan => one / (one + x * x),
            Function::IntegerPow(0) => number(0.0),
            Function::IntegerPow(k) => number(f64::from(k)) * integer_power(x, k - 1),
            Function::Pow(a) => number(a) * power(x, a) / x,
            Function::Relu => match x.sign() {
                Sign::Positive => one,
                Sign::Negative => number(0.0),
                Sign::Unknown => at_kink(),
            },
            Function::Abs => match x.sign() {
                Sign::Positive => one,
                Sign::Negative => -one,
                Sign::Unknown => at_kink(),
            },
        }
    }

    /// phi''(x), where y = phi(x). Of a kinked function 0.
    pub fn second<T: Smooth>(self, x: T, y: T) -> T {
        let number = T::from_f64;
        let (one, two) = (number(1.0), number(2.0));
        let gauss = || T::two_over_root_pi() * (-(x * x)).exp();
        match self {
            Function::Exp => y,
            Function::Log => -(one / (x * x)),
            Function::Log1p => -(one / ((one + x) * (one + x))),
            Function::Expm1 => x.exp(),
            Function::Sqrt => -(number(0.25) / (x * y)),
            Function::Rsqrt => number(0.75) * y / (x * x),
            Function::Tanh => -(two * y * (one - y) * (one + y)),
            Function::Logistic => y * (one - y) * (one - two * y),
            Function::Softplus => {
                let p = x.logistic();
                p * (one - p)
            }
            Function::Erf => -(two * x * gauss()),
            Function::Erfc => two * x * gauss(),
            Function::Sin => -y,
            Function::Cos => -y,
            Function::Atan => {
                let slope = one / (one + x * x);
                -(two * x * slope * slope)
            }
            Function::IntegerPow(0 | 1) => number(0.0),
            Function::IntegerPow(k) => {
                number(f64::from(k)) * number(f64::from(k) - 1.0) * integer_power(x, k - 2)
            }
            Function::Pow(a) => number(a) * (number(a) - one) * power(x, a) / (x * x),
            Function::Relu | Function::Abs => number(0.0),
        }
    }
}

/// The derivative where the side is not known: nothing is known of numbers that enclose; 0 in f64.
fn at_kink<T: Smooth>() -> T {
    T::from_f64(if T::ENCLOSES { f64::NAN } else { 0.0 })
}

/// x^k by squarings.
fn integer_power<T: Smooth>(x: T, k: i32) -> T {
    let one = T::from_f64(1.0);
    let positive = x.powi(k.unsigned_abs());
    if k < 0 { one / positive } else { positive }
}

/// x^a; halves through the square root, which is exact more often.
fn power<T: Smooth>(x: T, a: f64) -> T {
    if a == 0.5 {
        return x.sqrt();
    }
    (T::from_f64(a) * x.log()).exp()
}
