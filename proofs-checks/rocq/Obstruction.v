(* README section 7, softmax: Proposition 7 (hull bound) and Proposition 8 (zero gradient). *)
Require Import Reals Lra Psatz List Arith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model.
Import ListNotations.
Open Scope R_scope.

Section Obstruction.
Variable m : model.
Hypothesis softmax : kern m = Softmax.
Hypothesis n_pos : (0 < nn m)%nat.
Notation tokens := (seq 0 (nn m)).
Notation heads := (seq 0 (nH m)).

(* u does not see W^Q and W^K *)
Definition same_V (W W' : par -> R) := forall h a b, in_range m (V, h, a, b) -> W' (V, h, a, b) = W (V, h, a, b).
Lemma value_V W W' i j h c : same_V W W' -> In h heads -> value m W' i j h c = value m W i j h c.
Proof.
  intros S Hh. apply lsum_ext_in. intros b Hb. f_equal. apply lsum_ext_in. intros a Ha. rewrite S; [easy|].
  apply in_seq in Hh. apply in_seq in Ha. apply in_seq in Hb. simpl. lia.
Qed.

(** * Proposition 7 *)
Section Hull.
(* the smallest and the largest u_hijc over j (any lower and upper bounds will do) *)
Variables lo hi : nat -> nat -> nat -> R. (* h i c *)
Definition low i c := lsum heads (fun h => lo h i c).
Definition high i c := lsum heads (fun h => hi h i c).
Definition dist x a b := Rmax 0 (Rmax (a - x) (x - b)).
Definition f_hull := / 2 * lsum (outs m) (fun o => let '(i, k, c) := o in dist (y m i k c) (low i c) (high i c) * dist (y m i k c) (low i c) (high i c)).
Definition hull W := forall i j h c, In i (seq 0 (nN m)) -> In j tokens -> In h heads -> In c (seq 0 (np m)) ->
  lo h i c <= value m W i j h c <= hi h i c.

Lemma hull_interval W i k c : hull W -> In i (seq 0 (nN m)) -> In c (seq 0 (np m)) -> low i c <= out m W i k c <= high i c.
Proof.
  intros HW Hi Hc. assert (Ne : tokens <> []) by (destruct (nn m); [lia | easy]).
  assert (P : forall h j, 0 <= weight (kern m) tokens (scores m W i k h) j) by (intros; left; now apply weight_pos).
  assert (S1 : forall h, lsum tokens (weight (kern m) tokens (scores m W i k h)) = 1) by (intro; now apply row_sum).
  split; apply lsum_le; intros h Hh; [rewrite <- (Rmult_1_l (lo h i c)) | rewrite <- (Rmult_1_l (hi h i c))];
    rewrite <- (S1 h), <- lsum_scal_r; apply lsum_le; intros j Hj; (apply Rmult_le_compat_l; [apply P | now apply HW]).
Qed.
(* for every W^Q and W^K *)
Theorem prop_7 W W' : hull W -> same_V W W' -> f_hull <= f m W'.
Proof.
  intros HW S. assert (HW' : hull W') by (intros i j h c Hi Hj Hh Hc; rewrite (value_V W W') by assumption; now apply HW).
  unfold f_hull, f. apply Rmult_le_compat_l; [lra|]. apply lsum_le. intros [[i k] c] Ho.
  apply in_prod_iff in Ho. destruct Ho as [Ho Hc]. apply in_prod_iff in Ho. destruct Ho as [Hi _].
  pose proof (hull_interval W' i k c HW' Hi Hc) as [A B]. unfold dist, res. set (x := out m W' i k c) in *.
  rewrite <- (Rabs_right ((x - y m i k c) * (x - y m i k c))) by apply Rle_ge, sqr_pos. rewrite Rabs_mult.
  assert (Q0 : Rmax 0 (Rmax (low i c - y m i k c) (y m i k c - high i c)) <= Rabs (x - y m i k c)).
  { apply Rmax_lub; [apply Rabs_pos|]. apply Rmax_lub; unfold Rabs; destruct Rcase_abs; lra. }
  apply Rmult_le_compat; try exact Q0; apply Rmax_l.
Qed.
End Hull.

(* gradient descent on W^Q, W^K or both keeps W^V *)
Lemma descent_same_V tr eta W0 W : tr V = false -> descent m tr eta W0 W -> forall t, same_V W0 (W t).
Proof.
  intros TV [H0 HS]. induction t as [|t IH]; intros h a b Hr; [now apply H0|]. rewrite HS by exact Hr. simpl. rewrite TV. now apply IH.
Qed.
Corollary prop_7_descent lo hi tr eta W0 W : tr V = false -> hull lo hi W0 -> descent m tr eta W0 W -> forall t, f_hull lo hi <= f m (W t).
Proof. intros TV HW Ds t. apply (prop_7 lo hi W0); [exact HW | now apply (descent_same_V tr eta)]. Qed.

(** * Proposition 8 *)
Section Constant.
Variable W0 : par -> R.
Variable u0 : nat -> nat -> nat -> R. (* h i c *)
Hypothesis constant : forall i j h c, In i (seq 0 (nN m)) -> In j tokens -> In h heads -> In c (seq 0 (np m)) -> value m W0 i j h c = u0 h i c.

Lemma const_hull : hull u0 u0 W0.
Proof. intros i j h c Hi Hj Hh Hc. rewrite constant by assumption. lra. Qed.
Lemma const_loss W : same_V W0 W -> f m W = f_hull u0 u0.
Proof.
  intro S. unfold f, f_hull. f_equal. apply lsum_ext_in. intros [[i k] c] Ho.
  apply in_prod_iff in Ho. destruct Ho as [Ho Hc]. apply in_prod_iff in Ho. destruct Ho as [Hi _].
  assert (HW : hull u0 u0 W) by (intros i' j h c' Hi' Hj Hh Hc'; rewrite (value_V W0 W) by assumption; rewrite constant by assumption; lra).
  pose proof (hull_interval u0 u0 W i k c HW Hi Hc) as [A B]. unfold res, dist. set (x := out m W i k c) in *.
  assert (low u0 i c = x) as -> by (change (high u0 i c) with (low u0 i c) in B; lra).
  change (high u0 i c) with (low u0 i c). assert (low u0 i c = x) as -> by (change (high u0 i c) with (low u0 i c) in B; lra).
  unfold Rmax. destruct (Rle_dec (x - y m i k c) (y m i k c - x)); destruct Rle_dec; try ring; try lra.

Qed.
Lemma const_partial W q : same_V W0 W -> block_of q <> V -> partial m q W = 0.
Proof.
  intros S Nq. unfold partial. rewrite (Derive_ext _ (fun _ => f_hull u0 u0)); [apply Derive_const|].
  intro x. apply const_loss. intros h a b Hr. unfold upd. destruct par_eq_dec as [E|]; [|now apply S]. rewrite <- E in Nq. simpl in Nq. easy.
Qed.
Theorem prop_8 tr eta W : tr V = false -> descent m tr eta W0 W -> forall t,
  (forall q, in_range m q -> W t q = W0 q) /\ f m (W t) = f m (W 0%nat) /\ f m (W t) = f_hull u0 u0.
Proof.
  intros TV Ds t. pose proof (descent_same_V tr eta W0 W TV Ds) as SV. split; [|split; rewrite !const_loss; auto].
  destruct Ds as [H0 HS]. induction t as [|t IH]; [exact H0|]. intros q Hq. rewrite HS by exact Hq. destruct (tr (block_of q)) eqn:Tq; [|now apply IH].
  rewrite const_partial; [rewrite IH by exact Hq; ring | apply SV|]. intro E. rewrite E in Tq. congruence.
Qed.
End Constant.
End Obstruction.
