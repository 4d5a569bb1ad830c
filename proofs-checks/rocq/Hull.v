(* Checks of an obstruction (README section 7): the hull bound, and values that do not depend on the token. *)
Require Import Reals Lra Psatz List ZArith Bool Arith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model Obstruction Intervals Instances.
Import ListNotations.
Open Scope R_scope.

Record hull_certificate := HullCertificate {
  c_low : list (list (list dyad)); c_high : list (list (list dyad));   (* h, i, c: bounds of u_hijc over j *)
  c_dist : list (list (list dyad));                                     (* i, k, c: how far y is outside, at least *)
  c_loss : dyad }.                                                      (* at most f_hull *)

Section Hull.
Variable prec : Intervals.F.precision.
Notation cont := Intervals.cont.
Notation "x -! y" := (I.sub prec x y) (at level 50, left associativity).
Notation "x *! y" := (I.mul prec x y) (at level 40, left associativity).
Notation isum := (isum prec).
Notation v := (idv prec).
Notation zero := (Instances.zero prec).
Variable q : instance.
Notation N := (q_N q). Notation n := (q_n q). Notation D := (q_D q). Notation d := (q_d q). Notation H := (q_H q). Notation p := (q_p q).
Notation m := (the_model q).
Notation W0 := (the_weights q).

Definition softmax_ok : bool := match q_kernel q with Softmax => Nat.ltb 0 n && Nat.ltb 0 d | Gaussian => false end.
Definition the_tables :=
  eval prec q (map3 v (q_X q)) (map3 v (q_y q)) (map3 v (q_O q))
    (fun bl => map3 v (match bl with Q => q_Q q | K => q_K q | V => q_V q end)).

(** the hull *)
Section Bound.
Variable c : hull_certificate.
Definition check_hull : bool :=
  let t := the_tables in
  let low i c0 := isum (seq 0 H) (fun h => v (get3 dzero (c_low c) h i c0)) in
  let high i c0 := isum (seq 0 H) (fun h => v (get3 dzero (c_high c) h i c0)) in
  softmax_ok
  && forallb (fun i => forallb (fun j => forallb (fun h => forallb (fun k =>
       nonneg (t_value t i j h k -! v (get3 dzero (c_low c) h i k)) && nonneg (v (get3 dzero (c_high c) h i k) -! t_value t i j h k))
       (seq 0 p)) (seq 0 H)) (seq 0 n)) (seq 0 N)
  && forallb (fun '(i, k, c0) => let e := v (get3 dzero (c_dist c) i k c0) in let y := v (get3 dzero (q_y q) i k c0) in
       nonneg e && (nonneg (I.neg e) || nonneg (low i c0 -! y -! e) || nonneg (y -! high i c0 -! e))) (outs m)
  && nonneg (I.div prec (isum (outs m) (fun '(i, k, c0) => let e := v (get3 dzero (c_dist c) i k c0) in e *! e)) (I.fromZ prec 2) -! v (c_loss c)).
(* whatever W^Q and W^K are *)
Theorem hull_sound : check_hull = true -> forall W, same_V m W0 W -> dval (c_loss c) <= f m W.
Proof.
  intros C W SV. unfold check_hull in C. cbv zeta in C.
  apply andb_prop in C. destruct C as [C C4]. apply andb_prop in C. destruct C as [C C3]. apply andb_prop in C. destruct C as [C C2].
  unfold softmax_ok in C. destruct (q_kernel q) eqn:QK; [|easy]. apply andb_prop in C. destruct C as [n_pos _]. apply Nat.ltb_lt in n_pos.
  set (lo := fun h i c0 => real3 (c_low c) h i c0). set (hi := fun h i c0 => real3 (c_high c) h i c0).
  assert (HW : hull m lo hi W0).
  { intros i j h c0 Hi Hj Hh Hc. rewrite forallb_forall in C2. specialize (C2 i Hi). rewrite forallb_forall in C2. specialize (C2 j Hj).
    rewrite forallb_forall in C2. specialize (C2 h Hh). rewrite forallb_forall in C2. specialize (C2 c0 Hc).
    apply andb_prop in C2. destruct C2 as [A B].
    pose proof (c_value prec q (map3 v (q_X q)) (map3 v (q_y q)) (map3 v (q_O q)) (fun bl => map3 v (match bl with Q => q_Q q | K => q_K q | V => q_V q end))
      (cget3 prec _) (cget3 prec _) W0 ltac:(intros [] a b e; apply cget3) i j h c0) as Cv.
    split; apply Rminus_le_0.
    - eapply nonneg_ok; [|exact A]. apply csub; [exact Cv | apply cdv].
    - eapply nonneg_ok; [|exact B]. apply csub; [apply cdv | exact Cv]. }
  eapply Rle_trans; [|apply (prop_7 m QK n_pos lo hi W0 W HW SV)].
  assert (S : dval (c_loss c) <= lsum (outs m) (fun '(i, k, c0) => real3 (c_dist c) i k c0 * real3 (c_dist c) i k c0) / 2).
  { apply Rminus_le_0. eapply nonneg_ok; [|exact C4]. apply csub; [|apply cdv]. apply cdiv; [lra | | apply cZ].
    apply csum. intros [[i k] c0] _. apply cmul; apply cdv. }
  eapply Rle_trans; [exact S|]. unfold f_hull, Rdiv. rewrite Rmult_comm. apply Rmult_le_compat_l; [lra|].
  apply lsum_le. intros [[i k] c0] Ho. rewrite forallb_forall in C3. specialize (C3 (i, k, c0) Ho). cbv beta iota zeta in C3.
  apply andb_prop in C3. destruct C3 as [P C3]. apply nonneg_ok with (x := real3 (c_dist c) i k c0) in P; [|apply cdv].
  assert (Le : real3 (c_dist c) i k c0 <= dist (y m i k c0) (low m lo i c0) (high m hi i c0)).
  { assert (Cl : cont (isum (seq 0 H) (fun h => v (get3 dzero (c_low c) h i c0))) (low m lo i c0)) by (apply csum; intros; apply cdv).
    assert (Ch : cont (isum (seq 0 H) (fun h => v (get3 dzero (c_high c) h i c0))) (high m hi i c0)) by (apply csum; intros; apply cdv).
    assert (Ce : cont (v (get3 dzero (c_dist c) i k c0)) (real3 (c_dist c) i k c0)) by apply cdv.
    assert (Cy : cont (v (get3 dzero (q_y q) i k c0)) (y m i k c0)) by apply cdv.
    unfold dist. apply orb_prop in C3. destruct C3 as [C3|C3]; [apply orb_prop in C3; destruct C3 as [C3|C3]|].
    - pose proof (nonneg_ok _ _ (cneg _ _ Ce) C3). eapply Rle_trans; [|apply Rmax_l]. lra.
    - pose proof (nonneg_ok _ _ (csub _ _ _ _ _ (csub _ _ _ _ _ Cl Cy) Ce) C3). eapply Rle_trans; [|apply Rmax_r]. eapply Rle_trans; [|apply Rmax_l]. lra.
    - pose proof (nonneg_ok _ _ (csub _ _ _ _ _ (csub _ _ _ _ _ Cy Ch) Ce) C3). eapply Rle_trans; [|apply Rmax_r]. eapply Rle_trans; [|apply Rmax_r]. lra. }
  now apply Rmult_le_compat.
Qed.
Corollary hull_descent eta tr : check_hull = true -> tr V = false -> forall W, descent m tr eta W0 W -> forall t, dval (c_loss c) <= f m (W t).
Proof. intros C TV W Ds t. apply hull_sound; [exact C|]. now apply (descent_same_V m tr eta). Qed.
End Bound.

(** values that do not depend on the token: every feature that varies is read by zero rows of W^V only, or W^O_h = 0 *)
Definition is0 (x : dyad) : bool := (fst x =? 0)%Z.
Definition same (x y : dyad) : bool := (fst x =? fst y)%Z && (snd x =? snd y)%Z.
Definition check_constant : bool :=
  softmax_ok
  && forallb (fun h => forallb (fun b => forallb (fun c0 => is0 (get3 dzero (q_O q) h b c0)) (seq 0 p)) (seq 0 d)
     || forallb (fun a => forallb (fun b => is0 (get3 dzero (q_V q) h a b)) (seq 0 d)
          || forallb (fun i => forallb (fun j => same (get3 dzero (q_X q) i j a) (get3 dzero (q_X q) i 0 a)) (seq 0 n)) (seq 0 N)) (seq 0 D)) (seq 0 H).
Lemma is0_ok x : is0 x = true -> dval x = 0.
Proof.
  unfold is0, dval. intro Q0. apply Z.eqb_eq in Q0. rewrite Q0, Z.mul_0_l. destruct (snd x); [easy | easy | unfold Rdiv; ring].
Qed.
Lemma same_ok x z : same x z = true -> x = z.
Proof. unfold same. intro Q0. apply andb_prop in Q0. destruct Q0 as [A B]. apply Z.eqb_eq in A, B. destruct x, z; simpl in *; congruence. Qed.
Theorem constant_sound : check_constant = true -> forall tr, tr V = false -> forall eta W, descent m tr eta W0 W -> forall t,
  (forall r, in_range m r -> W t r = W0 r) /\ f m (W t) = f m (W 0%nat).
Proof.
  intros C tr TV eta W Ds t. unfold check_constant in C. apply andb_prop in C. destruct C as [C C2].
  unfold softmax_ok in C. destruct (q_kernel q) eqn:QK; [|easy]. apply andb_prop in C. destruct C as [n_pos _]. apply Nat.ltb_lt in n_pos.
  destruct (prop_8 m QK n_pos W0 (fun h i c0 => value m W0 i 0%nat h c0)) with (tr := tr) (eta := eta) (W := W) (t := t) as (A & B & _); try assumption; [|now split].
  intros i j h c0 Hi Hj Hh Hc. rewrite forallb_forall in C2. specialize (C2 h Hh). apply orb_prop in C2.
  unfold value. destruct C2 as [Z0|Z0]; apply lsum_ext_in; intros b Hb.
  - rewrite forallb_forall in Z0. specialize (Z0 b Hb). rewrite forallb_forall in Z0. specialize (Z0 c0 Hc). apply is0_ok in Z0.
    change (WO m h b c0) with (dval (get3 dzero (q_O q) h b c0)). rewrite Z0. ring.
  - f_equal. apply lsum_ext_in. intros a Ha. rewrite forallb_forall in Z0. specialize (Z0 a Ha). apply orb_prop in Z0. destruct Z0 as [Z0|Z0]; rewrite forallb_forall in Z0.
    + specialize (Z0 b Hb). apply is0_ok in Z0. change (W0 (V, h, a, b)) with (dval (get3 dzero (q_V q) h a b)). rewrite Z0. ring.
    + specialize (Z0 i Hi). rewrite forallb_forall in Z0. specialize (Z0 j Hj). apply same_ok in Z0.
      change (X m i j a) with (dval (get3 dzero (q_X q) i j a)). rewrite Z0. reflexivity.
Qed.
End Hull.
