(* Written by gdcert 0.1.0. A lower bound on every loss that W^Q and W^K can reach.
   instance.safetensors (SHA-256 0249fdae84819f5f3c2048b1fd2bc4f8b209f7fb655f7f0783298cbfbc034485).
   Softmax kernel, N=1 n=2 D=2 d=2 H=2 p=1. A pair (m, k) is the number m 2^k.

   Compile beside the files of `gdcert rocq DIR`, after its build.sh:  coqc $(grep '^-Q' _CoqProject) FILE.v
   Rocq proves the theorem about the numbers below. That they are those of the instance file it does not know:
   `gdcert check --rocq FILE.v` compares them. *)
From Coq Require Import Reals List ZArith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces Rows Model Obstruction Intervals Instances Hull.
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
(* X   *) [[[(3946840559485633,-52);(1,0)];[(3185762891624039,-54);(1,0)]]]
(* y   *) [[[(-623456604846705,-51)];[(1505922535454211,-51)]]]
(* W^Q *) [[[(-4804481088730675,-52);(-2279023872649211,-53)];[(2405725949079793,-52);(-398249353142071,-49)]];
    [[(-4804481088730675,-52);(-2279023872649211,-53)];[(2405725949079793,-52);(-398249353142071,-49)]]]
(* W^K *) [[[(6187519443769519,-53);(4759325756021033,-54)];[(-5292483912814071,-52);(-400026644248977,-50)]];
    [[(6187519443769519,-53);(4759325756021033,-54)];[(-5292483912814071,-52);(-400026644248977,-50)]]]
(* W^V *) [[[(0,0);(0,0)];[(-8470645824838439,-59);(-4319519838261437,-54)]];
    [[(0,0);(0,0)];[(-8470645824838439,-59);(-4319519838261437,-54)]]]
(* W^O *) [[[(-1789711692161151,-51)];[(-3790607407622969,-54)]];
    [[(1789711692161151,-51)];[(3790607407622969,-54)]]].

Local Open Scope R_scope.
Lemma the_loss W : f (the_model the_instance) W = loss the_instance W.
Proof. exact (loss_is the_instance eq_refl W). Qed.
(* gradient descent moves W t to W (t + 1) by eta times the partial derivatives of the loss in the trained blocks *)
Notation descent := (descent (the_model the_instance)).

Definition the_certificate : hull_certificate := (HullCertificate
  (* low  *) [[[(4477220231093423,-56)]];[[(-4477220231136737,-56)]]]
  (* high *) [[[(4477220231136737,-56)]];[[(-4477220231093423,-56)]]]
  (* dist *) [[[(4987652838747447,-54)];[(6023690141800537,-53)]]]
  (2359444450909377,-53))%Z.   (* 2.61950955472365e-1 *)
Notation bound := (dval (c_loss the_certificate)).

(* Whatever W^Q and W^K are, with W^V as above: *)
Theorem obstructed : forall W, same_V (the_model the_instance) (the_weights the_instance) W -> bound <= loss the_instance W.
Proof.
  intros W. rewrite <- the_loss. revert W.
  apply (hull_sound (F.PtoP 60) the_instance the_certificate). vm_cast_no_check (eq_refl true).
Qed.
Print Assumptions obstructed.

(* The values do not depend on the token: gradient descent does not move. *)
Theorem does_not_move : forall eta W, descent (trained true false false) eta (the_weights the_instance) W -> forall t,
  (forall r, in_range (the_model the_instance) r -> W t r = the_weights the_instance r) /\ loss the_instance (W t) = loss the_instance (W 0%nat).
Proof.
  intros eta W Ds t. rewrite <- !the_loss.
  apply (constant_sound the_instance) with (tr := (trained true false false)) (eta := eta); [vm_cast_no_check (eq_refl true) | reflexivity | exact Ds].
Qed.
Print Assumptions does_not_move.
