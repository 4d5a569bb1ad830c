(* README section 3: the four readings of beta, through quadratic forms, and Proposition 4. *)
Require Import Reals Lra Psatz List Arith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model.
Import ListNotations.
Open Scope R_scope.

(* b is the smallest value of the form q on unit vectors: the smallest eigenvalue *)
Definition sum2 {I} (l : list I) (v : I -> R) := lsum l (fun i => v i * v i).
Definition smallest {I} (l : list I) (q : (I -> R) -> R) (b : R) :=
  (forall v, b * sum2 l v <= q v) /\ exists v, sum2 l v = 1 /\ q v = b.
Lemma sum2_pos {I} (l : list I) v : 0 <= sum2 l v.
Proof. apply lsum_pos. intros. apply sqr_pos. Qed.

(** * Abstractly: B_h with rows O and columns A, W^O_h with rows B and columns C *)
Section Prop4.
Variables O A B C : Type.
Variables (lO : list O) (lA : list A) (lB : list B) (lC : list C).
Variable H : nat.
Variable Bm : nat -> O -> A -> R.               (* B_h *)
Variable WO : nat -> B -> C -> R.               (* W^O_h *)
Notation heads := (seq 0 H).
Notation sq x := (x * x).

Definition qB h (v : O -> R) := lsum lA (fun a => sq (lsum lO (fun o => Bm h o a * v o))).           (* v' B_h B_h' v *)
Definition qG h (w : C -> R) := lsum lB (fun b => sq (lsum lC (fun c => WO h b c * w c))).           (* w' G_h w *)
Definition qBB v := lsum heads (fun h => qB h v).                                                    (* v' B B' v *)
Definition qGG w := lsum heads (fun h => qG h w).                                                    (* w' W^O' W^O w *)
Definition qV (Z : O * C -> R) := lsum heads (fun h => lsum lA (fun a => lsum lB (fun b =>
   sq (lsum lC (fun c => WO h b c * lsum lO (fun o => Bm h o a * Z (o, c))))))).                     (* Z' J_V J_V' Z, Lemma 3 *)

Definition sum_oc (Z : O * C -> R) := lsum lC (fun c => sum2 lO (fun o => Z (o, c))).
Lemma sum_oc_eq Z : sum2 (list_prod lO lC) Z = sum_oc Z.
Proof. unfold sum2, sum_oc. rewrite lsum_prod. apply lsum_swap. Qed.

Variables g bB bG bV : R.
Hypothesis Hg : forall h w, In h heads -> g * sum2 lC w <= qG h w.   (* g = min_h sigma_min(W^O_h)^2 *)
Hypothesis g_pos : 0 <= g.
Hypothesis HB : smallest lO qBB bB.                                   (* sigma_min(B_0)^2 *)
Hypothesis HG : smallest lC qGG bG.                                   (* sigma_min(W^O)^2 *)
Hypothesis HV : smallest (list_prod lO lC) qV bV.                     (* beta_value *)

Lemma qB_pos h v : 0 <= qB h v.
Proof. apply lsum_pos. intros. apply sqr_pos. Qed.
Lemma qG_pos h w : 0 <= qG h w.
Proof. apply lsum_pos. intros. apply sqr_pos. Qed.
Lemma bB_pos : 0 <= bB.
Proof. destruct HB as [_ [v [_ <-]]]. apply lsum_pos. intros. apply qB_pos. Qed.

(* (1) *)
Theorem per_head_le_value : g * bB <= bV.
Proof.
  destruct HV as [_ [Z [Z1 <-]]]. destruct HB as [B1 _].
  apply Rle_trans with (g * lsum lC (fun c => qBB (fun o => Z (o, c)))).
  - apply Rmult_le_compat_l; [exact g_pos|]. rewrite <- (Rmult_1_r bB), <- Z1, sum_oc_eq. unfold sum_oc. rewrite <- lsum_scal.
    apply lsum_le. intros c _. apply (B1 (fun o => Z (o, c))).
  - unfold qBB, qV. rewrite lsum_swap, <- lsum_scal. apply lsum_le. intros h Hh.
    unfold qB. rewrite lsum_swap, <- lsum_scal. apply lsum_le. intros a _.
    exact (Hg h (fun c => lsum lO (fun o => Bm h o a * Z (o, c))) Hh).
Qed.
Lemma qV_product v w : qV (fun oc => v (fst oc) * w (snd oc)) = lsum heads (fun h => qB h v * qG h w).
Proof.
  apply lsum_ext. intro h. unfold qB, qG. rewrite <- lsum_scal_r. apply lsum_ext. intro a.
  rewrite <- lsum_scal. apply lsum_ext. intro b. cbn [fst snd].
  rewrite (lsum_ext lC _ (fun c => lsum lO (fun o => Bm h o a * v o) * (WO h b c * w c))).
  - rewrite lsum_scal. ring.
  - intro c. rewrite (lsum_ext lO _ (fun o => w c * (Bm h o a * v o))) by (intro; ring). rewrite lsum_scal. ring.
Qed.
Lemma sum_product v w : sum2 lO v = 1 -> sum2 lC w = 1 -> sum2 (list_prod lO lC) (fun oc => v (fst oc) * w (snd oc)) = 1.
Proof.
  intros v1 w1. rewrite sum_oc_eq. unfold sum_oc, sum2. cbn [fst snd]. rewrite <- w1. apply lsum_ext. intro c.
  rewrite (lsum_ext lO _ (fun o => sq (v o) * sq (w c))) by (intro; ring).
  rewrite lsum_scal_r. unfold sum2 in v1. rewrite v1. ring.
Qed.
Theorem value_le_stacked : bV <= bG * bB.
Proof.
  destruct HV as [V1 _]. destruct HB as [_ [v [v1 <-]]]. destruct HG as [_ [w [w1 <-]]].
  specialize (V1 (fun oc => v (fst oc) * w (snd oc))). rewrite (sum_product v w v1 w1), Rmult_1_r, qV_product in V1.
  eapply Rle_trans; [exact V1|]. rewrite (Rmult_comm (qGG w)). unfold qBB, qGG. clear - v w.
  induction heads as [|h l IH]; simpl; [lra|].
  assert (S1 : 0 <= lsum l (fun h => qB h v)) by (apply lsum_pos; intros; apply qB_pos).
  assert (S2 : 0 <= lsum l (fun h => qG h w)) by (apply lsum_pos; intros; apply qG_pos).
  pose proof (Rmult_le_pos _ _ (qB_pos h v) S2). pose proof (Rmult_le_pos _ _ S1 (qG_pos h w)). lra.
Qed.

(* (2) *)
Lemma lsum_heads x : lsum heads (fun _ => x) = INR H * x.
Proof. clear. rewrite <- (seq_length H 0) at 2. induction heads as [|h l IH]; simpl length; [simpl; ring|]. rewrite S_INR. simpl. rewrite IH. ring. Qed.
Theorem stacked_ge_heads : INR H * (g * bB) <= bG * bB.
Proof.
  rewrite <- Rmult_assoc. apply Rmult_le_compat_r; [exact bB_pos|].
  destruct HG as [_ [w [w1 <-]]]. rewrite <- lsum_heads. apply lsum_le. intros h Hh. pose proof (Hg h w Hh). rewrite w1 in H0. lra.
Qed.
(* equality for p = 1 and equal norms *)
Theorem stacked_eq_heads c : lC = [c] -> (forall h w, In h heads -> qG h w = g * sq (w c)) -> bG * bB = INR H * (g * bB).
Proof.
  intros Hc Hq. destruct HG as [_ [w [w1 Q]]]. unfold sum2 in w1. rewrite Hc in w1. simpl in w1.
  enough (bG = INR H * g) as -> by ring. rewrite <- Q, <- lsum_heads. apply lsum_ext_in. intros h Hh. rewrite Hq by exact Hh.
  replace (sq (w c)) with 1 by lra. ring.
Qed.
(* all G_h = g I: beta_value = beta_per_head, for any p *)
Theorem value_eq_per_head : lC <> [] -> (forall h w, In h heads -> qG h w = g * sum2 lC w) -> bV = g * bB.
Proof.
  intros _ Hq. apply Rle_antisym; [|apply per_head_le_value].
  destruct HV as [V1 _]. destruct HB as [_ [v [v1 <-]]]. destruct HG as [_ [w [w1 _]]].
  specialize (V1 (fun oc => v (fst oc) * w (snd oc))). rewrite (sum_product v w v1 w1), Rmult_1_r, qV_product in V1.
  eapply Rle_trans; [exact V1|]. right. unfold qBB. rewrite <- lsum_scal. apply lsum_ext_in. intros h Hh. rewrite Hq, w1 by exact Hh. ring.
Qed.
(* (3): J J' is J_V J_V' plus a positive semidefinite form *)
Theorem value_le_ntk (qJ : (O * C -> R) -> R) bJ :
  (forall Z, qV Z <= qJ Z) -> smallest (list_prod lO lC) qJ bJ -> bV <= bJ.
Proof. intros Hq [_ [Z [Z1 <-]]]. destruct HV as [V1 _]. specialize (V1 Z). rewrite Z1 in V1. specialize (Hq Z). lra. Qed.
End Prop4.

(** * The readings of a model at W *)
Section Model.
Variable m : model.
Variable W : par -> R.
Notation tokens := (seq 0 (nn m)).
Notation rows := (list_prod (seq 0 (nN m)) tokens).
Notation columns := (seq 0 (nD m)).
Notation coordinates := (seq 0 (nd m)).
Notation outputs := (seq 0 (np m)).

Definition B0 h (ik : nat * nat) a := lsum tokens (fun j => weight (kern m) tokens (scores m W (fst ik) (snd ik) h) j * X m (fst ik) j a).
Definition qJ tr (w : nat * nat * nat -> R) :=
  lsum (params m tr) (fun q => lsum (outs m) (fun o => entry m W o q * w o) * lsum (outs m) (fun o => entry m W o q * w o)).
Definition sigma_B b := smallest rows (qBB _ _ rows columns (nH m) B0) b.                               (* sigma_min(B_0)^2 *)
Definition sigma_O b := smallest outputs (qGG _ _ coordinates outputs (nH m) (WO m)) b.                 (* sigma_min(W^O)^2 *)
Definition sigma_Oh h b := smallest outputs (qG _ _ coordinates outputs (WO m) h) b.                    (* sigma_min(W^O_h)^2 *)
Definition beta_stacked b := exists bB bG, sigma_B bB /\ sigma_O bG /\ b = bG * bB.
Definition beta_per_head b := exists bB g, sigma_B bB /\ (forall h, In h (seq 0 (nH m)) -> exists bh, sigma_Oh h bh /\ g <= bh)
  /\ (exists h, In h (seq 0 (nH m)) /\ sigma_Oh h g) /\ b = g * bB.
Definition beta_value b := smallest (outs m) (qV _ _ _ _ rows columns coordinates outputs (nH m) B0 (WO m)) b.
Definition beta_ntk tr b := smallest (outs m) (qJ tr) b.

Lemma lemma_3 w : qV _ _ _ _ rows columns coordinates outputs (nH m) B0 (WO m) w =
  lsum (seq 0 (nH m)) (fun h => lsum columns (fun a => lsum coordinates (fun b =>
    lsum (outs m) (fun o => entry m W o (V, h, a, b) * w o) * lsum (outs m) (fun o => entry m W o (V, h, a, b) * w o)))).
Proof.
  apply lsum_ext. intro h. apply lsum_ext. intro a. apply lsum_ext. intro b.
  assert (Q : lsum outputs (fun c => WO m h b c * lsum rows (fun o => B0 h o a * w (o, c))) = lsum (outs m) (fun o => entry m W o (V, h, a, b) * w o)).
  { unfold outs. rewrite (lsum_prod rows), lsum_swap. apply lsum_ext. intro c. rewrite <- lsum_scal. apply lsum_ext. intros [i k].
    unfold B0. cbn [entry fst snd]. ring. }
  now rewrite Q.
Qed.
(* Lemma 3, with its consequence: the other blocks only add *)
Lemma qV_le_qJ tr w : tr V = true -> qV _ _ _ _ rows columns coordinates outputs (nH m) B0 (WO m) w <= qJ tr w.
Proof.
  intro TV. rewrite lemma_3. unfold qJ, params, par, blocks. rewrite !lsum_prod. cbn [filter]. rewrite TV.
  set (S := fun bl => lsum (seq 0 (nH m)) (fun h => lsum columns (fun a => lsum coordinates (fun b =>
    lsum (outs m) (fun o => entry m W o (bl, h, a, b) * w o) * lsum (outs m) (fun o => entry m W o (bl, h, a, b) * w o))))).
  assert (P : forall bl, 0 <= S bl) by (intro; repeat (apply lsum_pos; intros); apply sqr_pos).
  pose proof (P Q). pose proof (P K). change (S V <= lsum (if tr Q then Q :: (if tr K then [K; V] else [V]) else if tr K then [K; V] else [V]) S).
  destruct (tr Q), (tr K); cbn [lsum]; lra.
Qed.

Theorem prop_4 tr s h v t : beta_stacked s -> beta_per_head h -> beta_value v -> beta_ntk tr t ->
  h <= v <= s /\ INR (nH m) * h <= s /\ (tr V = true -> v <= t).
Proof.
  intros (bB & bG & HB & HG & ->) (bB' & g & HB' & Hg & (h0 & Hh0 & Hg0) & ->) HV HJ.
  assert (bB' = bB) as ->.
  { destruct HB as [B1 [x [x1 E1]]], HB' as [B2 [x' [x1' E2]]]. specialize (B1 x'). specialize (B2 x). rewrite x1' in B1. rewrite x1 in B2. lra. }
  assert (Pg : 0 <= g). { destruct Hg0 as [_ [w [_ <-]]]. apply qG_pos. }
  assert (Hg' : forall h w, In h (seq 0 (nH m)) -> g * sum2 outputs w <= qG _ _ coordinates outputs (WO m) h w).
  { intros h w Hh. destruct (Hg h Hh) as [bh [[L _] Le]]. eapply Rle_trans; [|apply L]. apply Rmult_le_compat_r; [apply sum2_pos | exact Le]. }
  repeat split.
  - now apply (per_head_le_value _ _ _ _ rows columns coordinates outputs (nH m) B0 (WO m)).
  - now apply (value_le_stacked _ _ _ _ rows columns coordinates outputs (nH m) B0 (WO m)).
  - now apply (stacked_ge_heads _ _ _ _ rows columns coordinates outputs (nH m) B0 (WO m)).
  - intro TV. apply (value_le_ntk _ _ _ _ rows columns coordinates outputs (nH m) B0 (WO m) v HV (qJ tr)); [|exact HJ].
    intro Z. now apply qV_le_qJ.
Qed.
End Model.
