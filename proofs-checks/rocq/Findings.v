(* Two closed theorems about instances with small integers.
   README section 7: on the same data and weights gradient descent on W^Q converges with the Gaussian kernel, and softmax can
   not come below its first loss whatever W^Q and W^K are.
   README section 8: on an instance with weights 0, 1, -1 (one token, two heads, one number each), Gaussian kernel,
   W^Q, W^K, W^V trained, exact gradient descent exceeds the bound of the literal reading of beta at t = 7; and the two
   instances for Proposition 4 (4). *)
Require Import Reals Lra Psatz List ZArith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model Readings Obstruction Intervals Instances Check Hull Refute.
Import ListNotations.
Open Scope R_scope.

Local Notation o := (0, 0)%Z.
Local Notation i := (1, 0)%Z.
Local Notation neg := (-1, 0)%Z.
Definition tiny : instance := Instance Gaussian 1 1 1 1 2 1
  (* X   *) [[[i]]]
  (* y   *) [[[o]]]
  (* W^Q *) [[[o]]; [[o]]]
  (* W^K *) [[[o]]; [[i]]]
  (* W^V *) [[[o]]; [[neg]]]
  (* W^O *) [[[neg]]; [[neg]]].
Definition QKV := trained true true true.
Definition tiny_eta : dyad := (8563448530157609, -55)%Z.      (* the f64 number 0.5 / |J_0|^2 = 0.2376834... *)

(* at one token and one output every reading is one number *)
Lemma smallest_1 {I} (x : I) q b : smallest [x] q b -> (forall v, q v = q (fun _ => 1) * (v x * v x)) -> b = q (fun _ => 1).
Proof.
  intros [_ [v [v1 <-]]] Hq. rewrite Hq. unfold sum2 in v1. simpl in v1. replace (v x * v x) with 1 by lra. ring.
Qed.
Lemma smallest_1' {I} (x : I) q : (forall v, q v = q (fun _ => 1) * (v x * v x)) -> smallest [x] q (q (fun _ => 1)).
Proof.
  intro Hq. split; [|exists (fun _ => 1); split; [unfold sum2; simpl; ring | easy]].
  intro v. rewrite (Hq v). unfold sum2. simpl. right. ring.
Qed.
Lemma sqrt_INR1 : sqrt (INR 1) = 1.
Proof. simpl. apply sqrt_1. Qed.

Ltac numbers := cbv -[exp sqrt Rmult Rplus Rminus Rdiv Ropp Rinv IZR INR]; rewrite ?sqrt_INR1.
Lemma exp_sqr_half : exp (- / 2) * exp (- / 2) = exp (-1).
Proof. rewrite <- exp_plus. f_equal. field. Qed.

Lemma tiny_B0 : B0 (the_model tiny) (the_weights tiny) 0 (0, 0)%nat 0 = 1 /\ B0 (the_model tiny) (the_weights tiny) 1 (0, 0)%nat 0 = exp (- / 2).
Proof.
  split; numbers; rewrite ?Rmult_0_l.
  - replace (- _ / _) with 0 by field. rewrite exp_0. ring.
  - match goal with |- exp ?x * _ + _ = _ => replace x with (- / 2) by field end. ring.
Qed.
Lemma tiny_stacked b : beta_stacked (the_model tiny) (the_weights tiny) b -> b = 2 * (1 + exp (-1)).
Proof.
  intros (bB & bG & HB & HG & ->). destruct tiny_B0 as [E0 E1].
  apply smallest_1 in HB.
  2:{ intro v. unfold qBB, qB. cbn [lsum seq nH nD nn nN the_model tiny q_H q_D q_n q_N list_prod map app]. rewrite E0, E1. ring. }
  apply smallest_1 in HG.
  2:{ intro v. unfold qGG, qG. cbn [lsum seq nH nd np the_model tiny q_H q_d q_p]. ring. }
  rewrite HB, HG. unfold qBB, qB, qGG, qG. cbn [lsum seq nH nD nn nN nd np the_model tiny q_H q_D q_n q_N q_d q_p list_prod map app]. rewrite E0, E1.
  numbers. ring_simplify. rewrite <- exp_sqr_half. ring.
Qed.

Lemma exp_m1 : 3678 / 10000 <= exp (-1) <= 3679 / 10000.
Proof.
  set (p := F.PtoP 60). pose proof (cexp p _ _ (cZ p (-1))) as C.
  assert (D : forall z, cont (I.div p (I.fromZ p z) (I.fromZ p 10000)) (IZR z / 10000)) by (intro; apply cdiv; [lra | apply cZ | apply cZ]).
  pose proof (csub p _ _ _ _ C (D 3678%Z)) as L. pose proof (csub p _ _ _ _ (D 3679%Z) C) as U.
  apply nonneg_ok in L; [|vm_compute; reflexivity]. apply nonneg_ok in U; [|vm_compute; reflexivity]. lra.
Qed.

(** beta_stacked and beta_ntk are not ordered *)
Definition one_head : instance := Instance Gaussian 1 1 1 1 1 1 [[[i]]] [[[o]]] [[[o]]] [[[i]]] [[[i]]] [[[i]]].
Lemma tiny_ntk : beta_ntk (the_model tiny) (the_weights tiny) QKV (1 + 3 * exp (-1)).
Proof.
  unfold beta_ntk. replace (1 + 3 * exp (-1)) with (qJ (the_model tiny) (the_weights tiny) QKV (fun _ => 1)).
  - apply smallest_1'. intro v. unfold qJ. cbn -[entry Rmult Rplus]. ring.
  - unfold qJ, QKV, trained, params, blocks, outs. cbn -[entry Rmult Rplus exp]. unfold entry. numbers. rewrite ?Rmult_0_l, ?Rmult_0_r, ?Rplus_0_r, ?Rplus_0_l.
    replace (- ((0 - 0) * (0 - 0)) / (2 * 1)) with 0 by field.
    replace (- ((0 - 1 * 1) * (0 - 1 * 1)) / (2 * 1)) with (- / 2) by field. rewrite exp_0, <- exp_sqr_half. field.
Qed.
Lemma one_head_stacked : beta_stacked (the_model one_head) (the_weights one_head) (exp (-1)).
Proof.
  assert (E0 : B0 (the_model one_head) (the_weights one_head) 0 (0, 0)%nat 0 = exp (- / 2)).
  { numbers. rewrite ?Rmult_0_l. match goal with |- exp ?x * _ + _ = _ => replace x with (- / 2) by field end. ring. }
  exists (exp (-1)), 1. split; [|split; [|ring]].
  - unfold sigma_B. replace (exp (-1)) with (qBB _ _ (list_prod (seq 0 1) (seq 0 1)) (seq 0 1) 1 (B0 (the_model one_head) (the_weights one_head)) (fun _ => 1)).
    + apply smallest_1'. intro v. unfold qBB, qB. cbn [lsum seq list_prod map app]. rewrite E0. ring.
    + unfold qBB, qB. cbn [lsum seq list_prod map app]. rewrite E0, <- exp_sqr_half. ring.
  - set (G := qGG nat nat (seq 0 1) (seq 0 1) 1 (WO (the_model one_head))).
    assert (G1 : G (fun _ => 1) = 1) by (unfold G, qGG, qG; cbn [lsum seq]; numbers; ring).
    pose proof (smallest_1' 0%nat G) as P. rewrite G1 in P. apply P.
    intro v. unfold G, qGG, qG. cbn [lsum seq]. numbers. ring.
Qed.
Lemma one_head_ntk : beta_ntk (the_model one_head) (the_weights one_head) QKV (3 * exp (-1)).
Proof.
  unfold beta_ntk. replace (3 * exp (-1)) with (qJ (the_model one_head) (the_weights one_head) QKV (fun _ => 1)).
  - apply smallest_1'. intro v. unfold qJ. cbn -[entry Rmult Rplus]. ring.
  - unfold qJ, QKV, trained, params, blocks, outs. cbn -[entry Rmult Rplus exp]. unfold entry. numbers. rewrite ?Rmult_0_l, ?Rmult_0_r, ?Rplus_0_r, ?Rplus_0_l.
    replace (- ((0 - 1 * 1) * (0 - 1 * 1)) / (2 * 1)) with (- / 2) by field. rewrite <- exp_sqr_half. field.
Qed.
(* Proposition 4 (4) *)
Theorem stacked_and_ntk_are_not_ordered :
  (exists s t, beta_stacked (the_model one_head) (the_weights one_head) s /\ beta_ntk (the_model one_head) (the_weights one_head) QKV t /\ s < t) /\
  (forall s, beta_stacked (the_model tiny) (the_weights tiny) s -> exists t, beta_ntk (the_model tiny) (the_weights tiny) QKV t /\ t < s).
Proof.
  pose proof exp_m1 as E. split.
  - exists (exp (-1)), (3 * exp (-1)). split; [exact one_head_stacked | split; [exact one_head_ntk | lra]].
  - intros s Hs. apply tiny_stacked in Hs. exists (1 + 3 * exp (-1)). split; [exact tiny_ntk | lra].
Qed.

Theorem literal_reading_refuted : forall beta W,
  beta_stacked (the_model tiny) (the_weights tiny) beta ->
  descent (the_model tiny) QKV (dval tiny_eta) (the_weights tiny) W ->
  f (the_model tiny) (W 7%nat) > (1 - dval tiny_eta * beta) ^ 7 * f (the_model tiny) (W 0%nat).
Proof.
  intros beta W Hb Ds. apply tiny_stacked in Hb.
  pose proof exp_m1 as E.
  apply (refute_sound (F.PtoP 80) tiny QKV tiny_eta (5600, -11)%Z 7); [vm_compute; reflexivity | exact Ds | |].
  - rewrite Hb. unfold dval. simpl. lra.
  - rewrite Hb. unfold dval, tiny_eta. cbn [snd fst]. change (2 ^ 55)%Z with 36028797018963968%Z. lra.
Qed.

(** * The separation of the kernels: one sample of two tokens (1, 0) and (1, 1), two heads that differ in the sign of W^O,
    W^V reads the constant feature only *)
Definition pair (kn : kernel) : instance := Instance kn 1 2 2 1 2 1
  (* X   *) [[[i; o]; [i; i]]]
  (* y   *) [[[i]; [i]]]
  (* W^Q *) [[[o]; [o]]; [[o]; [o]]]
  (* W^K *) [[[o]; [i]]; [[o]; [i]]]
  (* W^V *) [[[(1024, 0)%Z]; [o]]; [[(1024, 0)%Z]; [o]]]
  (* W^O *) [[[i]]; [[neg]]].
Definition only_Q := trained true false false.
Definition pair_certificate : certificate := (Certificate true false false
  (1, -8)       (* rho *)
  (7951, 0)     (* h *)
  (542, 0)      (* alpha_c *)
  (1422, 0)     (* Lambda *)
  (92682, -16)  (* R *)
  (1, -22)      (* eta *)
  (1, 18)       (* beta *)
  [(3, -1)] [[(2, 0); (2, 0)]] [[(16385, -4); (16385, -4)]] [[(3556, 0); (7111, 0)]] 10)%Z.
Definition pair_hull : hull_certificate := (HullCertificate
  [[[(1024, 0)]]; [[(-1024, 0)]]] [[[(1024, 0)]]; [[(-1024, 0)]]] [[[i]; [i]]] i)%Z.

Theorem kernels_separated :
  (forall W, descent (the_model (pair Gaussian)) only_Q (/ 2 ^ 22) (the_weights (pair Gaussian)) W ->
     forall t, f (the_model (pair Gaussian)) (W t) <= (15 / 16) ^ t * f (the_model (pair Gaussian)) (W 0%nat)) /\
  (forall W, same_V (the_model (pair Softmax)) (the_weights (pair Softmax)) W -> 1 <= f (the_model (pair Softmax)) W) /\
  (forall eta W, descent (the_model (pair Softmax)) only_Q eta (the_weights (pair Softmax)) W ->
     forall t, (forall r, in_range (the_model (pair Softmax)) r -> W t r = the_weights (pair Softmax) r)
       /\ f (the_model (pair Softmax)) (W t) = f (the_model (pair Softmax)) (W 0%nat)).
Proof.
  split; [|split].
  - intros W Ds t.
    assert (E1 : dval (c_eta pair_certificate) = / 2 ^ 22).
    { replace (2 ^ 22) with 4194304 by (simpl; lra). unfold dval. cbn [pair_certificate c_eta fst snd]. change (2 ^ 22)%Z with 4194304%Z. lra. }
    assert (E2 : 15 / 16 = 1 - dval (c_eta pair_certificate) * dval (c_beta pair_certificate)).
    { unfold dval. cbn [pair_certificate c_eta c_beta fst snd]. change (2 ^ 22)%Z with 4194304%Z. change (1 * 2 ^ 18)%Z with 262144%Z. lra. }
    rewrite E2. rewrite <- E1 in Ds. revert W Ds t.
    apply (check_sound (F.PtoP 60) (F.PtoP 60) (pair Gaussian) pair_certificate). vm_compute. reflexivity.
  - intros W SV. apply (hull_sound (F.PtoP 60) (pair Softmax) pair_hull) with (W := W) in SV; [|vm_compute; reflexivity].
    replace (dval (c_loss pair_hull)) with 1 in SV by reflexivity. exact SV.
  - intros eta W Ds t. apply (constant_sound (pair Softmax)) with (tr := only_Q) (eta := eta); [vm_compute; reflexivity | reflexivity | exact Ds].
Qed.
