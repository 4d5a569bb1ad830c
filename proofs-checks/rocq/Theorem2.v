(* README section 7: Theorem 2' (paired heads), for both kernels: W^Q trained, values u = s v, heads 2j and 2j + 1 equal but
   for opposite W^O.  Theorem A closes at t = 0 with beta = s^2 a^2 for every s >= s*, and with this radius for no smaller s. *)
Require Import Reals Lra Psatz List Arith FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model.
Import ListNotations.
Open Scope R_scope.

(** * The conditions: alpha_c = s a, h = s h1, R = |y|, rho = 2 |y| / (s a), eta = theta / L, beta = s^2 a^2 *)
Section Closing.
Variables a h1 Y Lam theta s : R.
Hypothesis Pa : 0 < a.
Hypothesis Ph : 0 <= h1.
Hypothesis PY : 0 <= Y.
Hypothesis Pt : 0 < theta < 1.
Hypothesis Ps : 0 < s.
Hypothesis PL : s * a <= Lam.
Definition rho2 := 2 * Y / (s * a).
Definition L2 := smoothness rho2 (s * h1) Lam Y.
Definition eta2 := theta / L2.
Definition s_star := 2 * Y * h1 / (a * a * (1 - / sqrt (2 - theta))).

Let q := sqrt (2 - theta).
Lemma q_gt1 : 1 < q /\ q * q = 2 - theta.
Proof. split; [|unfold q; apply sqrt_sqrt; lra]. rewrite <- sqrt_1. apply sqrt_lt_1; lra. Qed.
Lemma sa_pos : 0 < s * a.
Proof. now apply Rmult_lt_0_compat. Qed.
Lemma rho2_pos : 0 <= rho2.
Proof. unfold rho2. apply Rmult_le_pos; [lra|]. left. apply Rinv_0_lt_compat, sa_pos. Qed.
Lemma L2_pos : 0 < L2.
Proof.
  unfold L2, smoothness. pose proof sa_pos. pose proof rho2_pos. assert (0 <= s * h1) by (apply Rmult_le_pos; lra).
  pose proof (Rmult_le_pos _ _ rho2_pos H1). pose proof (Rmult_le_pos _ _ PY H1).
  assert (0 < (Lam + rho2 * (s * h1)) * (Lam + rho2 * (s * h1))) by (apply Rmult_lt_0_compat; lra). lra.
Qed.
Lemma alpha2 : alpha rho2 (s * h1) (s * a) = s * a - 2 * Y * h1 / a.
Proof. unfold alpha, rho2. field. lra. Qed.
Lemma etaL : eta2 * L2 = theta.
Proof. unfold eta2. pose proof L2_pos. field. lra. Qed.
Lemma rate2 : rate rho2 (s * h1) (s * a) Lam Y eta2 = eta2 * (alpha rho2 (s * h1) (s * a) * alpha rho2 (s * h1) (s * a) * (2 - theta)).
Proof. unfold rate. fold L2. rewrite etaL. field. Qed.
(* s >= s* says alpha >= s a / sqrt (2 - theta) *)
Lemma s_star_alpha : s_star <= s <-> s * a / q <= alpha rho2 (s * h1) (s * a).
Proof.
  rewrite alpha2. destruct q_gt1 as [Q1 _]. unfold s_star. fold q.
  assert (P : 0 < 1 - / q). { assert (/ q < 1) by (rewrite <- Rinv_1; apply Rinv_lt_contravar; lra). lra. }
  assert (P2 : 0 < a * a * (1 - / q)) by (repeat apply Rmult_lt_0_compat; lra).
  split; intro Q.
  - assert (2 * Y * h1 <= s * (a * a * (1 - / q))).
    { replace (2 * Y * h1) with (2 * Y * h1 / (a * a * (1 - / q)) * (a * a * (1 - / q))) by (field; split; [lra|split; lra]). apply Rmult_le_compat_r; lra. }
    apply Rmult_le_reg_r with a; [exact Pa|].
    replace ((s * a - 2 * Y * h1 / a) * a) with (s * a * a - 2 * Y * h1) by (field; lra).
    replace (s * a / q * a) with (s * a * a - s * (a * a * (1 - / q))) by (field; lra). lra.
  - apply Rmult_le_reg_r with (a * a * (1 - / q)); [exact P2|].
    replace (2 * Y * h1 / (a * a * (1 - / q)) * (a * a * (1 - / q))) with (2 * Y * h1) by (field; split; [lra|split; lra]).
    pose proof (Rmult_le_compat_r a _ _ (Rlt_le _ _ Pa) Q) as Q'.
    replace ((s * a - 2 * Y * h1 / a) * a) with (s * a * a - 2 * Y * h1) in Q' by (field; lra).
    replace (s * a / q * a) with (s * a * a - s * (a * a * (1 - / q))) in Q' by (field; lra). lra.
Qed.
Theorem theorem_2_closes : s_star <= s ->
  closes rho2 (s * h1) (s * a) Lam Y eta2 /\ eta2 * (s * s * (a * a)) <= rate rho2 (s * h1) (s * a) Lam Y eta2.
Proof.
  intro Hs. apply s_star_alpha in Hs. destruct q_gt1 as [Q1 Q2]. pose proof sa_pos as Psa. pose proof L2_pos as PL2.
  assert (Pq : 0 < s * a / q) by (apply Rdiv_lt_0_compat; lra).
  assert (Pe : 0 < eta2) by (apply Rdiv_lt_0_compat; lra).
  assert (Qa : s * a / q * (s * a / q) * (2 - theta) = s * s * (a * a)) by (rewrite <- Q2; field; lra).
  set (A := alpha rho2 (s * h1) (s * a)) in *.
  assert (A2 : s * s * (a * a) <= A * A * (2 - theta)).
  { rewrite <- Qa. apply Rmult_le_compat_r; [lra|]. apply Rmult_le_compat; lra. }
  split.
  - apply radius_plain; try exact rho2_pos; try (apply Rmult_le_pos; lra); try (fold L2; rewrite etaL); fold A; try lra.
    (* rho alpha (1 - theta/2) >= |y| is weaker: alpha >= s a / (2 - theta) *)
    apply Rle_trans with (rho2 * (s * a / q) * (1 - theta / 2)).
    + unfold rho2. replace (2 * Y / (s * a) * (s * a / q) * (1 - theta / 2)) with (Y * ((2 - theta) / q)) by (field; lra).
      rewrite <- Q2. replace (q * q / q) with q by (field; lra). nra.
    + apply Rmult_le_compat_r; [lra|]. apply Rmult_le_compat_l; [exact rho2_pos | exact Hs].
  - rewrite rate2. fold A. apply Rmult_le_compat_l; lra.
Qed.
Theorem theorem_2_sharp : 0 < alpha rho2 (s * h1) (s * a) ->
  eta2 * (s * s * (a * a)) <= rate rho2 (s * h1) (s * a) Lam Y eta2 -> s_star <= s.
Proof.
  intros PA Q. rewrite rate2 in Q. apply s_star_alpha. destruct q_gt1 as [Q1 Q2]. pose proof sa_pos as Psa.
  assert (Pe : 0 < eta2) by (apply Rdiv_lt_0_compat; [lra | apply L2_pos]).
  apply Rmult_le_reg_l in Q; [|exact Pe]. set (A := alpha rho2 (s * h1) (s * a)) in *. rewrite <- Q2 in Q.
  apply Rmult_le_reg_r with q; [lra|]. replace (s * a / q * q) with (s * a) by (field; lra).
  apply le_of_sqr; nra.
Qed.
End Closing.

(** * The model *)
Section Pairs.
Variable m : model.
Variable H2 : nat.                               (* pairs *)
Hypothesis heads : nH m = (2 * H2)%nat.
Hypothesis d_pos : (0 < nd m)%nat.
Hypothesis n_pos : (0 < nn m)%nat.
Variable W : par -> R.                           (* scale 1 *)
Notation sd := (sqrt (INR (nd m))).
Notation tokens := (seq 0 (nn m)).
Hypothesis paired : forall b j a c, W (b, 2 * j + 1, a, c)%nat = W (b, 2 * j, a, c)%nat.
Hypothesis opposite : forall j b c, WO m (2 * j + 1)%nat b c = - WO m (2 * j)%nat b c.
Definition scaled s : par -> R := fun q => match block_of q with V => s * W q | _ => W q end.

Lemma proj_scaled s b i k h c : proj m b (scaled s) i k h c = match b with V => s * proj m b W i k h c | _ => proj m b W i k h c end.
Proof. unfold proj, scaled. destruct b; simpl; try easy. rewrite <- lsum_scal. apply lsum_ext. intro. ring. Qed.
Lemma scores_scaled s i k h : scores m (scaled s) i k h = scores m W i k h.
Proof.
  extensionality j. unfold scores. f_equal; extensionality b; now rewrite proj_scaled.
Qed.
Lemma value_scaled s i j h c : value m (scaled s) i j h c = s * value m W i j h c.
Proof. unfold value. rewrite <- lsum_scal. apply lsum_ext. intro b. rewrite proj_scaled. ring. Qed.
Lemma row_scal kn (l : list nat) c s (u : nat -> R) : row kn l c (fun j => s * u j) = s * row kn l c u.
Proof. unfold row. rewrite <- lsum_scal. apply lsum_ext. intro. ring. Qed.

(* pairs cancel *)
Lemma lsum_pairs (g : nat -> R) : (forall j, g (2 * j + 1)%nat = - g (2 * j)%nat) -> lsum (seq 0 (2 * H2)) g = 0.
Proof.
  intro Hg. clear heads. induction H2 as [|h IH]; [easy|].
  replace (2 * S h)%nat with (2 * h + 2)%nat by lia. rewrite seq_app, lsum_app, IH. cbn [seq lsum plus].
  specialize (Hg h). replace (2 * h + 1)%nat with (S (2 * h)) in Hg by lia. simpl in Hg |- *. rewrite Hg. ring.
Qed.
Lemma out_zero s i k c : out m (scaled s) i k c = 0.
Proof.
  unfold out. rewrite heads. apply lsum_pairs. intro j.
  assert (P : forall b kk cc, proj m b (scaled s) i kk (2 * j + 1)%nat cc = proj m b (scaled s) i kk (2 * j)%nat cc).
  { intros. unfold proj. apply lsum_ext. intro a. f_equal. unfold scaled. simpl block_of. rewrite paired. easy. }
  replace (scores m (scaled s) i k (2 * j + 1)) with (scores m (scaled s) i k (2 * j)).
  2:{ extensionality l. unfold scores. f_equal; extensionality b; now rewrite P. }
  rewrite <- (Rmult_1_l (row _ _ _ (fun j0 => value m (scaled s) i j0 (2 * j) c))).
  replace (- (1 * row (kern m) tokens (scores m (scaled s) i k (2 * j)) (fun j0 => value m (scaled s) i j0 (2 * j) c)))
    with (row (kern m) tokens (scores m (scaled s) i k (2 * j)) (fun j0 => -1 * value m (scaled s) i j0 (2 * j) c)) by (rewrite row_scal; ring).
  unfold row. apply lsum_ext. intro l. f_equal. unfold value. rewrite <- lsum_scal. apply lsum_ext. intro b. rewrite P, opposite. ring.
Qed.
(* J_Q is proportional to s *)
Lemma entry_scaled s o q : block_of q = Q -> entry m (scaled s) o q = s * entry m W o q.
Proof.
  intro Hq. destruct o as [[i k] c], q as [[[bl h] a] b]. simpl in Hq. subst bl. cbn [entry].
  rewrite <- !(Rmult_assoc s), (Rmult_comm s (X m i k a)), !Rmult_assoc. f_equal. unfold Rdiv. rewrite <- Rmult_assoc. f_equal.
  rewrite <- lsum_scal. apply lsum_ext. intro j. unfold beta_j, gQ. rewrite scores_scaled, value_scaled, !proj_scaled.
  assert (M : mean (kern m) tokens (scores m W i k h) (fun j => value m (scaled s) i j h c) = s * mean (kern m) tokens (scores m W i k h) (fun j => value m W i j h c)).
  { unfold mean. destruct (kern m); [|ring]. rewrite <- row_scal. f_equal. extensionality l. apply value_scaled. }
  rewrite M. ring.
Qed.

Definition only_Q b := match b with Q => true | _ => false end.
Notation jac2 W w := (lsum (params m only_Q) (fun q => lsum (outs m) (fun o => entry m W o q * w o) * lsum (outs m) (fun o => entry m W o q * w o))).
Lemma jac2_scaled s w : jac2 (scaled s) w = s * s * jac2 W w.
Proof.
  rewrite <- lsum_scal. apply lsum_ext_in. intros q Hq. apply (in_params m d_pos n_pos) in Hq. destruct Hq as [Tq _].
  assert (block_of q = Q) by (destruct (block_of q); easy).
  rewrite (lsum_ext (outs m) _ (fun o => s * (entry m W o q * w o))) by (intro; rewrite entry_scaled by assumption; ring).
  rewrite lsum_scal. ring.
Qed.

(* a = sigma_min(J_Q') and lam >= |J_Q| at scale 1; norms and curvature at scale 1 *)
Variables a lam h1 Y theta : R.
Variables (x : nat -> nat -> R) (xi o : nat -> R) (kap ups : nat -> nat -> R) (qn : nat -> nat -> nat -> R) (bm : nat -> nat -> R).
Hypothesis Pa : 0 < a.
Hypothesis Pt : 0 < theta < 1.
Hypothesis a_ok : forall w, a * a * lsum (outs m) (fun o => w o * w o) <= jac2 W w.
Hypothesis lam_ok : forall w, jac2 W w <= lam * lam * lsum (outs m) (fun o => w o * w o).
Hypothesis lam_a : a <= lam.
Hypothesis Y_pos : 0 <= Y.
Hypothesis Y_ok : lsum (outs m) (fun o => let '(i, k, c) := o in y m i k c * y m i k c) <= Y * Y.      (* |y| *)
Hypothesis NO : norms m only_Q W W 0 x xi o kap ups qn.
Hypothesis ups_pos : forall i h, 0 <= ups i h.
Hypothesis bm_pos : forall i k, 0 <= bm i k.
Hypothesis bm_ok : forall i k h, In i (seq 0 (nN m)) -> In k tokens -> In h (seq 0 (nH m)) -> b6 m only_Q 0 x xi o kap ups qn i k h <= bm i k.
Hypothesis h1_pos : 0 <= h1.
Hypothesis h1_ok : lsum (list_prod (seq 0 (nN m)) tokens) (fun ik => bm (fst ik) (snd ik) * bm (fst ik) (snd ik)) <= h1 * h1.

(* with W^Q alone trained, b does not depend on the radius and is proportional to the values *)
Lemma b6_scaled s rho i k h : 0 <= s -> b6 m only_Q rho x xi o kap (fun i h => s * ups i h) qn i k h = s * b6 m only_Q 0 x xi o kap ups qn i k h.
Proof.
  intro. unfold b6, row_b. destruct (kern m); unfold i1; simpl.
  - unfold soft_b, soft_a. replace (1 * x i k * (kap i h + 0 * xi i * rho)) with (1 * x i k * (kap i h + 0 * xi i * 0)) by ring.
    replace (0 * xi i * (qn i k h + 1 * x i k * rho)) with 0 by ring. replace (0 * xi i * (qn i k h + 1 * x i k * 0)) with 0 by ring.
    unfold Rdiv. ring.
  - unfold gauss_b. ring.
Qed.

Theorem theorem_2 s : 0 < s -> s_star a h1 Y theta <= s ->
  forall Ws, descent m only_Q (eta2 a h1 Y (s * lam) theta s) (scaled s) Ws ->
  forall t, f m (Ws t) <= (1 - eta2 a h1 Y (s * lam) theta s * (s * s * (a * a))) ^ t * f m (Ws 0%nat).
Proof.
  intros Ps Hs Ws Ds t. set (eta := eta2 a h1 Y (s * lam) theta s) in *.
  assert (PL : s * a <= s * lam) by (apply Rmult_le_compat_l; lra).
  destruct (theorem_2_closes a h1 Y (s * lam) theta s Pa h1_pos Y_pos Pt Ps PL Hs) as [CLO RA]. fold eta in CLO, RA.
  pose proof (L2_pos a h1 Y (s * lam) s Pa h1_pos Y_pos Ps PL) as PL2.
  assert (Peta : eta * (s * s * (a * a)) <= 1).
  { (* s a <= Lambda, so beta <= L; and eta L = theta < 1 *)
    pose proof (etaL a h1 Y (s * lam) theta s Pa h1_pos Y_pos Ps PL) as EL. fold eta in EL.
    assert (Pe : 0 < eta) by (apply Rdiv_lt_0_compat; lra).
    apply Rle_trans with (eta * L2 a h1 Y (s * lam) s); [|lra]. apply Rmult_le_compat_l; [lra|].
    unfold L2, smoothness. pose proof (rho2_pos a Y s Pa Y_pos Ps) as Pr. assert (Q0 : 0 <= s * h1) by (apply Rmult_le_pos; lra).
    pose proof (Rmult_le_pos _ _ Pr Q0). pose proof (Rmult_le_pos _ _ Y_pos Q0). pose proof (sa_pos a s Pa Ps).
    replace (s * s * (a * a)) with (s * a * (s * a)) by ring.
    assert (s * a * (s * a) <= (s * lam + rho2 a Y s * (s * h1)) * (s * lam + rho2 a Y s * (s * h1))) by (apply Rmult_le_compat; lra). lra. }
  apply (model_converges m d_pos n_pos only_Q (scaled s) (rho2 a Y s) x xi o kap (fun i h => s * ups i h) qn (fun i k => s * bm i k)
    (s * h1) (s * a) (s * lam) Y eta (s * s * (a * a))); try assumption; try lra.
  - destruct NO as [_ xo xio oo op ko qo uo]. constructor; auto.
    + exact (rho2_pos a Y s Pa Y_pos Ps).
    + intros i j h Hi Hj Hh. specialize (uo i j h Hi Hj Hh). rewrite full_W0 in uo |- *.
      replace (enorm (np m) (fun c => value m (scaled s) i j h c)) with (s * enorm (np m) (fun c => value m W i j h c)).
      * apply Rmult_le_compat_l; lra.
      * unfold enorm, dot. rewrite (lsum_ext _ (fun b => value m (scaled s) i j h b * _) (fun c => s * s * (value m W i j h c * value m W i j h c)))
          by (intro; rewrite value_scaled; ring).
        rewrite lsum_scal, sqrt_mult_alt by nra. rewrite sqrt_square by lra. easy.
  - intros. apply Rmult_le_pos; [lra | apply bm_pos].
  - intros i k h Hi Hk Hh. rewrite b6_scaled by lra. apply Rmult_le_compat_l; [lra | now apply bm_ok].
  - apply Rmult_le_pos; lra.
  - rewrite (lsum_ext _ _ (fun ik => s * s * (bm (fst ik) (snd ik) * bm (fst ik) (snd ik)))) by (intro; ring). rewrite lsum_scal.
    replace (s * h1 * (s * h1)) with (s * s * (h1 * h1)) by ring. apply Rmult_le_compat_l; [nra | exact h1_ok].
  - apply Rmult_le_pos; lra.
  - apply Rmult_le_pos; lra.
  - intro w. rewrite jac2_scaled. replace (s * a * (s * a)) with (s * s * (a * a)) by ring. rewrite Rmult_assoc. apply Rmult_le_compat_l; [nra | apply a_ok].
  - intro w. rewrite jac2_scaled. replace (s * lam * (s * lam)) with (s * s * (lam * lam)) by ring. rewrite (Rmult_assoc (s * s)). apply Rmult_le_compat_l; [nra | apply lam_ok].
  - eapply Rle_trans; [|exact Y_ok]. apply lsum_le. intros [[i k] c] _. unfold res. rewrite out_zero. right. ring.
Qed.
End Pairs.
