(* refute : is the bound exceeded at step T?  The exact orbit is enclosed by plain interval arithmetic, for tiny instances. *)
Require Import Reals Lra Psatz List ZArith Bool Arith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model Intervals Instances.
Import ListNotations.
Open Scope R_scope.

Section Refute.
Variable prec : Intervals.F.precision.
Notation cont := Intervals.cont.
Notation "x +! y" := (I.add prec x y) (at level 50, left associativity).
Notation "x -! y" := (I.sub prec x y) (at level 50, left associativity).
Notation "x *! y" := (I.mul prec x y) (at level 40, left associativity).
Notation "x /! y" := (I.div prec x y) (at level 40, left associativity).
Notation isum := (isum prec).
Notation v := (idv prec).
Notation int := (I.fromZ prec).
Notation zero := (Instances.zero prec).

Variable q : instance.
Variable tr : block -> bool.
Variables eta beta : dyad.
Variable T : nat.
Notation m := (the_model q).

Definition build (g : nat -> nat -> nat -> I.type) : table :=
  map (fun h => map (fun a => map (fun b => g h a b) (seq 0 (q_d q))) (seq 0 (q_D q))) (seq 0 (q_H q)).
Definition blocks3 (g : block -> table) : block -> table :=
  let lQ := g Q in let lK := g K in let lV := g V in fun bl => match bl with Q => lQ | K => lK | V => lV end.
Definition start : block -> table :=
  blocks3 (fun bl => let l := map3 v (match bl with Q => q_Q q | K => q_K q | V => q_V q end) in build (get3 zero l)).
Notation lX := (map3 v (q_X q)).
Notation ly := (map3 v (q_y q)).
Notation lO := (map3 v (q_O q)).
Definition t_res3 t (o : nat * nat * nat) := let '(i, k, c) := o in t_res t i k c.
Definition next (Wi : block -> table) : block -> table :=
  let t := eval prec q lX ly lO Wi in
  blocks3 (fun bl => if tr bl
    then build (fun h a b => get3 zero (Wi bl) h a b -! v eta *! isum (outs m) (fun o => e_entry prec q lX lO t o (bl, h, a, b) *! t_res3 t o))
    else Wi bl).
Fixpoint orbit (t : nat) : block -> table := match t with O => start | S t => next (orbit t) end.
Definition e_loss (Wi : block -> table) : I.type :=
  let t := eval prec q lX ly lO Wi in int 1 /! int 2 *! isum (outs m) (fun o => t_res3 t o *! t_res3 t o).
Fixpoint ipow (x : I.type) (t : nat) := match t with O => int 1 | S t => x *! ipow x t end.
Definition refute : bool :=
  Nat.ltb 0 (q_d q) && Nat.ltb 0 (q_n q) && nonneg (v eta)
  && posb (e_loss (orbit T) -! ipow (int 1 -! v eta *! v beta) T *! e_loss start).

Lemma get3_build g h a b : get3 zero (build g) h a b = if (h <? q_H q)%nat && (a <? q_D q)%nat && (b <? q_d q)%nat then g h a b else zero.
Proof.
  assert (Nth : forall {A} (f : nat -> A) k n z, nth k (map f (seq 0 n)) z = if (k <? n)%nat then f k else z).
  { intros A f k n z. destruct (Nat.ltb_spec k n) as [L|L].
    - rewrite nth_indep with (d' := f 0%nat) by (now rewrite map_length, seq_length). rewrite map_nth, seq_nth by exact L. easy.
    - apply nth_overflow. now rewrite map_length, seq_length. }
  unfold get3, build. rewrite (Nth _ _ h). destruct (h <? q_H q)%nat; [|destruct a; destruct b; easy].
  rewrite (Nth _ _ a). destruct (a <? q_D q)%nat; [|now destruct b]. now rewrite (Nth _ _ b).
Qed.

Definition restrict (W : par -> R) : par -> R := fun '(bl, h, a, b) =>
  if (h <? q_H q)%nat && (a <? q_D q)%nat && (b <? q_d q)%nat then W (bl, h, a, b) else 0.
Lemma restrict_in W r : in_range m r -> restrict W r = W r.
Proof.
  destruct r as [[[bl h] a] b]. intros (A & B & C). simpl in A, B, C. unfold restrict.
  apply Nat.ltb_lt in A, B, C. now rewrite A, B, C.
Qed.
Lemma in_range_dec bl h a b : (h <? q_H q)%nat && (a <? q_D q)%nat && (b <? q_d q)%nat = true -> in_range m (bl, h, a, b).
Proof. rewrite !andb_true_iff, !Nat.ltb_lt. simpl. tauto. Qed.
Lemma c_zero : cont zero 0.
Proof. replace 0 with (dval dzero) by reflexivity. apply cdv. Qed.

Hypothesis d_pos : (0 < q_d q)%nat.
Hypothesis n_pos : (0 < q_n q)%nat.
Lemma c_e_loss Wi W : (forall bl h a b, cont (get3 zero (Wi bl) h a b) (W (bl, h, a, b))) -> cont (e_loss Wi) (f m W).
Proof.
  intro cW. unfold e_loss, f. replace (/ 2) with (1 / 2) by field. apply cmul; [apply cdiv; [lra | apply cZ | apply cZ]|].
  apply csum. intros [[i k] c] _. cbn [t_res3].
  pose proof (c_res prec q lX ly lO Wi d_pos n_pos (cget3 prec _) (cget3 prec _) (cget3 prec _) W cW i k c) as C. now apply cmul.
Qed.
Lemma partial_res W r : in_range m r -> partial m r (restrict W) = lsum (outs m) (fun o => entry m (restrict W) o r * res m (restrict W) o).
Proof.
  intro Hr. set (all := fun _ : block => true).
  pose proof (partial_grad m d_pos n_pos all (restrict W) (restrict W) r) as P. rewrite full_W0 in P. rewrite P.
  - unfold grad, Jt, Model.r. now rewrite full_W0.
  - apply (in_params m d_pos n_pos). now split.
Qed.
Lemma orbit_ok W : descent m tr (dval eta) (the_weights q) W -> forall t bl h a b, cont (get3 zero (orbit t bl) h a b) (restrict (W t) (bl, h, a, b)).
Proof.
  intros [H0 HS]. induction t as [|t IH]; intros bl h a b.
  - assert (Q0 : cont (get3 zero (build (get3 zero (map3 v (match bl with Q => q_Q q | K => q_K q | V => q_V q end)))) h a b) (restrict (W 0%nat) (bl, h, a, b))).
    { rewrite get3_build. unfold restrict. destruct (_ && _ && _) eqn:Rg; [|apply c_zero].
      rewrite H0 by now apply in_range_dec. destruct bl; apply cget3. }
    destruct bl; exact Q0.
  - assert (Q0 : cont (get3 zero (if tr bl
        then build (fun h a b => get3 zero (orbit t bl) h a b -! v eta *! isum (outs m) (fun o => e_entry prec q lX lO (eval prec q lX ly lO (orbit t)) o (bl, h, a, b) *! t_res3 (eval prec q lX ly lO (orbit t)) o))
        else orbit t bl) h a b) (restrict (W (S t)) (bl, h, a, b))).
    { destruct (tr bl) eqn:Tb.
      - rewrite get3_build. unfold restrict at 1. destruct (_ && _ && _) eqn:Rg; [|apply c_zero].
        pose proof (in_range_dec bl h a b Rg) as Hr. rewrite HS by exact Hr. simpl block_of. rewrite Tb.
        assert (P : partial m (bl, h, a, b) (W t) = partial m (bl, h, a, b) (restrict (W t))).
        { unfold partial. rewrite restrict_in by exact Hr. apply Derive_ext. intro x. apply agree_f. intros r' Hr'.
          unfold upd. destruct par_eq_dec; [easy|]. symmetry. now apply restrict_in. }
        rewrite P, partial_res, <- (restrict_in (W t)) by exact Hr.
        apply csub; [apply IH|]. apply cmul; [apply cdv|]. apply csum. intros [[i k] c] _. apply cmul.
        + apply (c_entry prec q lX ly lO (orbit t) d_pos n_pos (cget3 prec _) (cget3 prec _) (restrict (W t)) IH).
        + apply (c_res prec q lX ly lO (orbit t) d_pos n_pos (cget3 prec _) (cget3 prec _) (cget3 prec _) (restrict (W t)) IH).
      - replace (restrict (W (S t)) (bl, h, a, b)) with (restrict (W t) (bl, h, a, b)); [apply IH|].
        unfold restrict. destruct (_ && _ && _) eqn:Rg; [|easy]. rewrite HS by now apply in_range_dec. simpl block_of. now rewrite Tb. }
    destruct bl; exact Q0.
Qed.
Lemma c_pow x xr t : cont x xr -> cont (ipow x t) (xr ^ t).
Proof. intro Cx. induction t; simpl; [apply cZ | now apply cmul]. Qed.
End Refute.

Theorem refute_sound prec q tr eta beta T : refute prec q tr eta beta T = true ->
  forall W, descent (the_model q) tr (dval eta) (the_weights q) W ->
  forall b, dval beta <= b -> dval eta * b <= 1 ->
  f (the_model q) (W T) > (1 - dval eta * b) ^ T * f (the_model q) (W 0%nat).
Proof.
  intros C W Ds b Hb Hs. unfold refute in C. apply andb_prop in C. destruct C as [C C1]. apply andb_prop in C. destruct C as [C C2].
  apply andb_prop in C. destruct C as [d_pos n_pos]. apply Nat.ltb_lt in d_pos. apply Nat.ltb_lt in n_pos.
  set (m := the_model q) in *.
  assert (Agree : forall t, f m (restrict q (W t)) = f m (W t)) by (intro; apply agree_f; intros; now apply restrict_in).
  pose proof (orbit_ok prec q tr eta d_pos n_pos W Ds) as Or.
  pose proof (c_e_loss prec q d_pos n_pos _ _ (Or T)) as CT. pose proof (c_e_loss prec q d_pos n_pos _ _ (Or 0%nat)) as C0. simpl in C0.
  fold m in CT, C0. rewrite Agree in CT, C0.
  pose proof (nonneg_ok _ _ (cdv prec eta) C2) as Pe.
  assert (Cb : Intervals.cont (I.sub prec (I.fromZ prec 1) (I.mul prec (idv prec eta) (idv prec beta))) (1 - dval eta * dval beta)).
  { apply csub; [apply cZ|]. apply cmul; apply cdv. }
  pose proof (posb_ok _ _ (csub _ _ _ _ _ CT (cmul _ _ _ _ _ (c_pow prec _ _ T Cb) C0)) C1) as P.
  assert (P0 : 0 <= f m (W 0%nat)). { unfold f. apply Rmult_le_pos; [lra|]. apply lsum_pos. intros. apply sqr_pos. }
  apply Rlt_gt. eapply Rle_lt_trans; [|apply Rminus_gt_0_lt, P]. apply Rmult_le_compat_r; [exact P0|].
  apply pow_incr. split; [lra|]. assert (dval eta * dval beta <= dval eta * b) by (now apply Rmult_le_compat_l). lra.
Qed.
