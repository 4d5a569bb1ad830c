(* Written by gdcert 0.1.0. Theorem A on QKV, step eta = 1.346592042963096e-17, eta beta = 1.655967e-4; checking takes a few seconds of coqc on one core, about 0.6 GB.
   instance.safetensors, weights of instance.safetensors (SHA-256 18f6fd97cb32a86d0eb7f38edc585ac570f3a8e8ddb0aa321d2de29b7ad22d53), step 0.
   Softmax kernel, N=1 n=2 D=2 d=2 H=2 p=1. A pair (m, k) is the number m 2^k.

   Compile beside the files of `gdcert rocq DIR`, after its build.sh:  coqc $(grep '^-Q' _CoqProject) FILE.v
   Rocq proves the theorem about the numbers below. That they are those of the instance file it does not know:
   `gdcert check` compares them. *)
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
Definition score W i h k j := sum d (fun b => q W i h k b * kappa W i h j b) / sqrt (INR d).
Definition s W i h k j := exp (score W i h k j) / sum n (fun l => exp (score W i h k l)).
Definition out W i k c := sum H (fun h => sum n (fun j => s W i h k j * u W i h j c)).
Definition loss W := / 2 * sum N (fun i => sum n (fun k => sum p (fun c => (out W i k c - y i k c) * (out W i k c - y i k c)))).
Lemma loss_is : q_kernel I = Softmax -> forall W, f (the_model I) W = loss W.
Proof. intros kernel W. rewrite f_in_full. unfold weight, scores, Rows.score. cbn [the_model kern]. rewrite kernel. reflexivity. Qed.
End InFull.

Local Open Scope Z_scope.
Definition the_instance : instance := Instance Softmax 1 2 2 2 2 1
(* X   *) [[[(3946840559485633,-52);(1838933125661861,-51)];[(3185762891624039,-54);(3642071098181387,-52)]]]
(* y   *) [[[(-623456604846705,-51)];[(1505922535454211,-51)]]]
(* W^Q *) [[[(-4804481088730675,-52);(-2279023872649211,-53)];[(2405725949079793,-52);(-398249353142071,-49)]];
    [[(-6601754916279505,-52);(-4966403090942511,-55)];[(3762322077561665,-51);(-6013625884482301,-52)]]]
(* W^K *) [[[(6187519443769519,-53);(4759325756021033,-54)];[(-5292483912814071,-52);(-400026644248977,-50)]];
    [[(-7029338598963547,-55);(-5412075354740421,-55)];[(-1097516868135049,-52);(1301245459136123,-55)]]]
(* W^V *) [[[(0,0);(0,0)];[(0,0);(0,0)]];
    [[(0,0);(0,0)];[(0,0);(0,0)]]]
(* W^O *) [[[(-6487378380259063,-26)];[(-6870130158944295,-28)]];
    [[(-2209078660664349,-25)];[(2525662396169299,-25)]]].

Local Open Scope R_scope.
Lemma the_loss W : f (the_model the_instance) W = loss the_instance W.
Proof. exact (loss_is the_instance eq_refl W). Qed.
(* gradient descent moves W t to W (t + 1) by eta times the partial derivatives of the loss in the trained blocks *)
Notation descent := (descent (the_model the_instance)).

Definition the_certificate : certificate := (Certificate
  true true true   (* trained: W^Q, W^K, W^V *)
  (619776587,-51)   (* rho = 2.752360948043986e-7 *)
  (205825355,0)   (* h(rho) = 2.05825355e8 *)
  (14026233,-2)   (* alpha_c = 3.50655825e6 *)
  (385410447,-1)   (* Lambda = 1.927052235e8 *)
  (97148365,-27)   (* R = 7.238117232918739e-1 *)
  (8739882043006599,-109)   (* eta = 1.346592042963096e-17 *)
  (1574075330474063,-7)   (* beta = 1.2297463519328617e13 *)
  (* xi  *) [(321557563,-28)]
  (* kap *) [[(926738393,-30);(412146947,-30)]]
  (* ups *) [[(0,0);(0,0)]]
  (* b   *) [[(518615493,-2);(639423103,-2)]]
  (* F   *) 1)%Z.
Notation eta := (dval (c_eta the_certificate)).
Notation beta := (dval (c_beta the_certificate)).

(* Exact gradient descent from the weights above obeys the bound at every step. *)
Theorem converges : forall W : nat -> par -> R, descent (trained true true true) eta (the_weights the_instance) W ->
  forall t, loss the_instance (W t) <= (1 - eta * beta) ^ t * loss the_instance (W 0%nat).
Proof.
  intros W Ds t. rewrite <- !the_loss. revert W Ds t.
  apply (check_sound (F.PtoP 48) the_instance the_certificate). vm_cast_no_check (eq_refl true).
Qed.
Print Assumptions converges.
