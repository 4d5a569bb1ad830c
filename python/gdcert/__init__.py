"""Does gradient descent on your attention model converge as the theorem says?

An Instance holds data, labels, weights and a kernel; verify runs exact gradient descent on it and holds the theorem's
bound against every step, certify proves the bound for every step to come, check re-proves a certificate.

>>> import gdcert
>>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, kernel="gaussian", init="lazy", scale=1e4)
>>> v = gdcert.verify(inst)
>>> v.verdict
'certified'
>>> bool(gdcert.check(v.certificate))
True

Everything mirrors the command `gdcert`: the same defaults, words and numbers.
"""

from ._gdcert import (
    Certificate,
    Checked,
    Claim,
    Falsified,
    InputError,
    Instance,
    Landscape,
    Model,
    ModelCertificate,
    ModelVerification,
    NotCertified,
    Orbit,
    Spectrum,
    Verification,
    __version__,
    attention,
    certify,
    check,
    curvature,
    falsify,
    gradient,
    jacobian,
    landscape,
    loss,
    outputs,
    residual,
    spectrum,
    sweep,
    verify,
)
from ._run import Run, load_run
from ._table import Table, Trajectory

__all__ = [
    "Certificate",
    "Checked",
    "Claim",
    "Falsified",
    "InputError",
    "Instance",
    "Landscape",
    "Model",
    "ModelCertificate",
    "ModelVerification",
    "NotCertified",
    "Orbit",
    "Run",
    "Spectrum",
    "Table",
    "Trajectory",
    "Verification",
    "__version__",
    "attention",
    "certify",
    "check",
    "curvature",
    "falsify",
    "gradient",
    "jacobian",
    "landscape",
    "load_run",
    "loss",
    "outputs",
    "residual",
    "spectrum",
    "sweep",
    "verify",
]
