(* Written by gdcert 0.1.0. The bound with eta = 1.9092100337572024e-1 and beta >= 3.2745925521476744e0 (the reading stacked) is exceeded at t = 2.
   instance.safetensors (SHA-256 76f44c392a8a50fd9c2f3064e014a265327d0ddcf2eca49588e9b23ee4aece74).
   Gaussian kernel, N=1 n=1 D=1 d=1 H=2 p=1. A pair (m, k) is the number m 2^k.

   Compile beside the files of `gdcert rocq DIR`, after its build.sh:  coqc $(grep '^-Q' _CoqProject) FILE.v
   Rocq proves the theorem about the numbers below. That they are those of the instance file it does not know:
   `gdcert check --rocq FILE.v` compares them. *)
From Coq Require Import Reals List ZArith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces Rows Model Intervals Instances Refute.
Import ListNotations.

(* The model: sample i, head h, query token k, key token j, output c; W (Q, h, a, b) is entry (a, b) of W^Q_h. *)
Section InFull.
Local Open Scope R_scope.
Variable I : instance.
Notation N := (q_N I). Notation n := (q_n I). Notation D := (q_D I). Notation d := (q_d I). Notation H := (q_H I). Notation p := (q_p I).
Notation X := (real3 (q_X I)). Notation y := (real3 (q_y I)). Notation WO := (real3 (q_O I)).
Notation sum k f := (lsum (seq 0 k) f).            (* f 0 + ... + f (k - 1) *)
Definition q (W : par -> R) i h k b := sum D (fun a => X i k a * W (Q, h, a, b)).
Definition kappa (W : par -> R) i h j b := sum D (fun a => X i j a * W (K, h, a, b)).
Definition u (W : par -> R) i h j c := sum d (fun b => sum D (fun a => X i j a * W (V, h, a, b)) * WO h b c).
Definition score W i h k j := - sum d (fun b => (q W i h k b - kappa W i h j b) * (q W i h k b - kappa W i h j b)) / (2 * sqrt (INR d)).
Definition s W i h k j := exp (score W i h k j).
Definition out W i k c := sum H (fun h => sum n (fun j => s W i h k j * u W i h j c)).
Definition loss W := / 2 * sum N (fun i => sum n (fun k => sum p (fun c => (out W i k c - y i k c) * (out W i k c - y i k c)))).
Lemma loss_is : q_kernel I = Gaussian -> forall W, f (the_model I) W = loss W.
Proof. intros kernel W. rewrite f_in_full. unfold weight, scores, Rows.score. cbn [the_model kern]. rewrite kernel. reflexivity. Qed.
End InFull.

Local Open Scope Z_scope.
Definition the_instance : instance := Instance Gaussian 1 1 1 1 2 1
(* X   *) [[[(1856426390052035,-51)]]]
(* y   *) [[[(-2218457888617777,-51)]]]
(* W^Q *) [[[(-5368082934872973,-52)]];
    [[(2409651970294073,-56)]]]
(* W^K *) [[[(4114695524536477,-52)]];
    [[(2015203505377217,-52)]]]
(* W^V *) [[[(-809744089929171,-49)]];
    [[(433613846745455,-49)]]]
(* W^O *) [[[(-6750483901065031,-52)]];
    [[(238979210236913,-47)]]].

Local Open Scope R_scope.
Lemma the_loss W : f (the_model the_instance) W = loss the_instance W.
Proof. exact (loss_is the_instance eq_refl W). Qed.
(* gradient descent moves W t to W (t + 1) by eta times the partial derivatives of the loss in the trained blocks *)
Notation descent := (descent (the_model the_instance)).

Definition the_eta : dyad := (6878654077280759,-55)%Z.
Definition the_beta : dyad := (3686863449410617,-50)%Z.

Theorem refuted : forall W : nat -> par -> R, descent (trained true true true) (dval the_eta) (the_weights the_instance) W ->
  forall b, dval the_beta <= b -> dval the_eta * b <= 1 ->
  loss the_instance (W 2%nat) > (1 - dval the_eta * b) ^ 2 * loss the_instance (W 0%nat).
Proof.
  intros W Ds b. rewrite <- !the_loss. revert W Ds b.
  apply (refute_sound (F.PtoP 104) the_instance (trained true true true) the_eta the_beta 2). vm_cast_no_check (eq_refl true).
Qed.
Print Assumptions refuted.
