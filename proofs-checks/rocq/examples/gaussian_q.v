(* Written by gdcert 0.1.0. Theorem A on Q, step eta = 6.535064900051814e-5, eta beta = 1.273826e-1; coqc takes a few seconds and 0.6 GB on one core.
   instance.safetensors, weights of instance.safetensors (SHA-256 605c589e077da6bfcd04b5bf25aa98eb03806c45cecf1195110cb40184dc6666), step 0.
   Gaussian kernel, N=1 n=2 D=2 d=2 H=2 p=1. A pair (m, k) is the number m 2^k.

   Compile beside the files of `gdcert rocq DIR`, after its build.sh:  coqc $(grep '^-Q' _CoqProject) FILE.v
   Rocq proves the theorem about the numbers below. That they are those of the instance file it does not know:
   `gdcert check --rocq FILE.v` compares them. *)
From Coq Require Import Reals List ZArith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces Rows Model Intervals Instances Check.
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
Definition the_instance : instance := Instance Gaussian 1 2 2 2 2 1
(* X   *) [[[(3946840559485633,-52);(1838933125661861,-51)];[(3185762891624039,-54);(3642071098181387,-52)]]]
(* y   *) [[[(-623456604846705,-51)];[(1505922535454211,-51)]]]
(* W^Q *) [[[(-4804481088730675,-52);(-2279023872649211,-53)];[(2405725949079793,-52);(-398249353142071,-49)]];
    [[(-4804481088730675,-52);(-2279023872649211,-53)];[(2405725949079793,-52);(-398249353142071,-49)]]]
(* W^K *) [[[(6187519443769519,-53);(4759325756021033,-54)];[(-5292483912814071,-52);(-400026644248977,-50)]];
    [[(6187519443769519,-53);(4759325756021033,-54)];[(-5292483912814071,-52);(-400026644248977,-50)]]]
(* W^V *) [[[(-2634603157040675,-45);(-646372394952305,-43)];[(-3828990700225689,-50);(-7810219731602989,-47)]];
    [[(-2634603157040675,-45);(-646372394952305,-43)];[(-3828990700225689,-50);(-7810219731602989,-47)]]]
(* W^O *) [[[(-1789711692161151,-51)];[(-3790607407622969,-54)]];
    [[(1789711692161151,-51)];[(3790607407622969,-54)]]].

Local Open Scope R_scope.
Lemma the_loss W : f (the_model the_instance) W = loss the_instance W.
Proof. exact (loss_is the_instance eq_refl W). Qed.
(* gradient descent moves W t to W (t + 1) by eta times the partial derivatives of the loss in the trained blocks *)
Notation descent := (descent (the_model the_instance)).

Definition the_certificate : certificate := (Certificate
  true false false   (* trained: W^Q, W^K, W^V *)
  (811437517,-35)   (* rho = 2.3615939921000972e-2 *)
  (317015589,-20)   (* h(rho) = 3.023296251296997e2 *)
  (185166879,-22)   (* alpha_c = 4.414722418785095e1 *)
  (655308859,-23)   (* Lambda = 7.811890351772308e1 *)
  (97148365,-27)   (* R = 7.238117232918739e-1 *)
  (1205506697163381,-64)   (* eta = 6.535064900051814e-5 *)
  (4286373920913719,-41)   (* beta = 1.94921718544434e3 *)
  (* xi  *) [(321557563,-28)]
  (* kap *) [[(926738393,-30);(926738393,-30)]]
  (* ups *) [[(649708041,-23);(649708041,-23)]]
  (* b   *) [[(572136863,-21);(546458331,-22)]]
  (* F   *) 13)%Z.
Notation eta := (dval (c_eta the_certificate)).
Notation beta := (dval (c_beta the_certificate)).

(* Exact gradient descent from the weights above obeys the bound at every step. *)
Theorem converges : forall W : nat -> par -> R, descent (trained true false false) eta (the_weights the_instance) W ->
  forall t, loss the_instance (W t) <= (1 - eta * beta) ^ t * loss the_instance (W 0%nat).
Proof.
  intros W Ds t. rewrite <- !the_loss. revert W Ds t.
  apply (check_sound (F.PtoP 37) (F.PtoP 49) the_instance the_certificate). vm_cast_no_check (eq_refl true).
Qed.
Print Assumptions converges.
