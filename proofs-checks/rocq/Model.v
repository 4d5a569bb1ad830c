(* The one-layer attention model of README section 1: both kernels, any trained blocks, any N, n, D, d, H, p. *)
Require Import Reals Lra Psatz List Arith FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows.
Import ListNotations.
Open Scope R_scope.

Inductive block := Q | K | V.
Definition par : Type := block * nat * nat * nat.   (* the entry (a, b) of W^block_h, as (block, h, a, b) *)

Record model := Model {
  kern : kernel;
  nN : nat; nn : nat; nD : nat; nd : nat; nH : nat; np : nat;   (* N, n, D, d, H, p *)
  X : nat -> nat -> nat -> R;                                    (* sample i, token k, feature a *)
  y : nat -> nat -> nat -> R;                                    (* sample i, token k, output c *)
  WO : nat -> nat -> nat -> R }.                                 (* head h, coordinate b, output c *)

Section Model.
Variable m : model.
Notation N := (nN m). Notation n := (nn m). Notation D := (nD m). Notation d := (nd m). Notation H := (nH m). Notation p := (np m).
Notation sd := (sqrt (INR d)).
Notation tokens := (seq 0 n).

(** * The model (score, weight and row are in Rows.v) *)

(* q_k, kappa_k and (W^V_h)' x_k are [proj Q], [proj K], [proj V] *)
Definition proj b (W : par -> R) i k h c := lsum (seq 0 D) (fun a => X m i k a * W (b, h, a, c)).
Definition value W i j h c := lsum (seq 0 d) (fun b => proj V W i j h b * WO m h b c).                      (* u_j *)
Definition scores W i k h j := score (kern m) d sd (proj Q W i k h) (proj K W i j h).                       (* c_kj *)
Definition out W i k c := lsum (seq 0 H) (fun h => row (kern m) tokens (scores W i k h) (fun j => value W i j h c)).  (* F_ik *)
Definition outs := list_prod (list_prod (seq 0 N) (seq 0 n)) (seq 0 p).
Definition res W (o : nat * nat * nat) := let '(i, k, c) := o in out W i k c - y m i k c.
Definition f W := / 2 * lsum outs (fun o => res W o * res W o).

(* the loss with its sums written out *)
Lemma f_in_full W : f W = / 2 * lsum (seq 0 N) (fun i => lsum tokens (fun k => lsum (seq 0 p) (fun c =>
  (lsum (seq 0 H) (fun h => lsum tokens (fun j => weight (kern m) tokens (scores W i k h) j * value W i j h c)) - y m i k c) *
  (lsum (seq 0 H) (fun h => lsum tokens (fun j => weight (kern m) tokens (scores W i k h) j * value W i j h c)) - y m i k c)))).
Proof. unfold f, outs. now rewrite !lsum_prod. Qed.

Definition in_range (q : par) := let '(_, h, a, b) := q in (h < H /\ a < D /\ b < d)%nat.
Definition block_of (q : par) := let '(b, _, _, _) := q in b.
Definition par_eq_dec : forall q q' : par, {q = q'} + {q <> q'}.
Proof. repeat decide equality. Defined.
Definition upd (W : par -> R) q x : par -> R := fun q' => if par_eq_dec q' q then x else W q'.
Definition partial q W := Derive (fun x => f (upd W q x)) (W q).

(* exact gradient descent from W0 with step eta on the blocks tr *)
Definition descent (tr : block -> bool) eta (W0 : par -> R) (W : nat -> par -> R) :=
  (forall q, in_range q -> W 0%nat q = W0 q) /\
  forall t q, in_range q -> W (S t) q = if tr (block_of q) then W t q - eta * partial q (W t) else W t q.

(* only entries in range matter *)
Lemma agree_proj W W' b i k h c : (forall q, in_range q -> W q = W' q) -> In h (seq 0 H) -> In c (seq 0 d) ->
  proj b W i k h c = proj b W' i k h c.
Proof.
  intros A Hh Hc. apply lsum_ext_in. intros a Ha. apply in_seq in Hh. apply in_seq in Hc. apply in_seq in Ha.
  rewrite A; [easy|]. simpl. lia.
Qed.
Lemma agree_f W W' : (forall q, in_range q -> W q = W' q) -> f W = f W'.
Proof.
  intro A. unfold f. f_equal. apply lsum_ext. intros [[i k] c]. unfold res.
  enough (out W i k c = out W' i k c) as -> by easy. apply lsum_ext_in. intros h Hh.
  assert (S : scores W i k h = scores W' i k h).
  { extensionality j. unfold scores, score, dot. destruct (kern m).
    - f_equal. apply lsum_ext_in. intros b Hb. now rewrite (agree_proj W W' Q), (agree_proj W W' K).
    - do 2 f_equal. apply lsum_ext_in. intros b Hb. now rewrite (agree_proj W W' Q), (agree_proj W W' K). }
  rewrite S. apply lsum_ext. intro j. f_equal. apply lsum_ext_in. intros b Hb. now rewrite (agree_proj W W').
Qed.

(** * Derivatives with respect to the trained blocks *)
Hypothesis d_pos : (0 < d)%nat.
Hypothesis n_pos : (0 < n)%nat.
Variable tr : block -> bool.
Variable W0 : par -> R.            (* fixes what is not trained *)
Definition full (M : par -> R) : par -> R := fun q => if tr (block_of q) then M q else W0 q.
Definition dir (v : par -> R) : par -> R := fun q => if tr (block_of q) then v q else 0.
Definition blocks := filter tr [Q; K; V].
Definition params : list par := list_prod (list_prod (list_prod blocks (seq 0 H)) (seq 0 D)) (seq 0 d).
Let E := Rl params.
Let G := Rl outs.

Lemma sd_pos : 0 < sd.
Proof. apply sqrt_lt_R0, lt_0_INR, d_pos. Qed.
Lemma tokens_ne : tokens <> [].
Proof. destruct n; [lia | easy]. Qed.

Definition dF (M : par -> R) (o : nat * nat * nat) (v : par -> R) := let '(i, k, c) := o in
  lsum (seq 0 H) (fun h => psi (kern m) tokens (scores (full M) i k h)
    (fun j => form (kern m) d sd (proj Q (full M) i k h) (proj K (full M) i j h) (proj Q (dir v) i k h) (proj K (dir v) i j h))
    (fun j => value (full M) i j h c) (fun j => value (dir v) i j h c)).

Lemma proj_seg b (M v : E) s i k h :
  proj b (full (vadd M (vscal s v))) i k h = (fun c => proj b (full M) i k h c + s * proj b (dir v) i k h c).
Proof.
  extensionality c. unfold proj, full, dir. simpl. rewrite <- lsum_scal, <- lsum_plus. apply lsum_ext. intro a.
  destruct (tr b); ring.
Qed.
Lemma value_seg (M v : E) s i j h c :
  value (full (vadd M (vscal s v))) i j h c = value (full M) i j h c + s * value (dir v) i j h c.
Proof.
  unfold value. rewrite proj_seg, <- lsum_scal, <- lsum_plus. apply lsum_ext. intro. ring.
Qed.

Lemma D1 (M v : E) s o : is_derive (fun s => res (full (vadd M (vscal s v))) o) s (dF (vadd M (vscal s v)) o v).
Proof.
  destruct o as [[i k] c]. unfold res, out, dF.
  match goal with |- is_derive _ _ ?x => replace x with (minus x 0) by (unfold minus, opp, plus; simpl; ring) end.
  apply @is_derive_minus; [|apply @is_derive_const].
  apply (lsum_derive (seq 0 H) (fun h s => row (kern m) tokens (scores (full (vadd M (vscal s v))) i k h) (fun j => value (full (vadd M (vscal s v))) i j h c))).
  intros h _. pose proof sd_pos as Sp.
  pose proof (row_derive tokens tokens_ne
    (fun j s => sc (kern m) d sd (proj Q (full M) i k h) (proj Q (dir v) i k h) (fun j => proj K (full M) i j h) (fun j => proj K (dir v) i j h) j s)
    (fun j s => ut (fun j => value (full M) i j h c) (fun j => value (dir v) i j h c) j s) s
    _ _ (Dc (kern m) d sd Sp (proj Q (full M) i k h) (proj Q (dir v) i k h) (fun j => proj K (full M) i j h) (fun j => proj K (dir v) i j h) s)
    (Du _ _ s) (kern m)) as R.
  evar_last; [eapply is_derive_ext; [|exact R]|].
  - intro t. unfold scores. rewrite proj_seg. unfold row. apply lsum_ext. intro j. f_equal; [|symmetry; apply value_seg].
    do 2 f_equal. extensionality j'. unfold sc, kt. now rewrite proj_seg.
  - f_equal.
    + extensionality j. unfold scores, sc, kt. now rewrite !proj_seg.
    + extensionality j. unfold sc', kt. now rewrite !proj_seg.
    + extensionality j. symmetry. apply value_seg.
Qed.

(* the part of a direction in one block and head *)
Definition hn2 b (v : par -> R) h := lsum (seq 0 D) (fun a => lsum (seq 0 d) (fun c => dir v (b, h, a, c) * dir v (b, h, a, c))).
Definition hn b v h := sqrt (hn2 b v h).
Definition i1 b := if tr b then 1 else 0.
Lemma i1_cases b : i1 b = 0 \/ i1 b = 1.
Proof. unfold i1. destruct (tr b); auto. Qed.
Lemma hn2_pos b v h : 0 <= hn2 b v h.
Proof. apply lsum_pos. intros a _. apply lsum_pos. intros c _. apply sqr_pos. Qed.
Lemma hn_pos b v h : 0 <= hn b v h.
Proof. apply sqrt_pos. Qed.
Lemma lsum_params (g : par -> R) v : lsum params (fun q => g q * v q) =
  lsum [Q; K; V] (fun b => lsum (seq 0 H) (fun h => lsum (seq 0 D) (fun a => lsum (seq 0 d) (fun c => g (b, h, a, c) * dir v (b, h, a, c))))).
Proof.
  unfold params, par. rewrite !lsum_prod. unfold blocks.
  assert (Z : forall b, tr b = false -> lsum (seq 0 H) (fun h => lsum (seq 0 D) (fun a => lsum (seq 0 d) (fun c => g (b, h, a, c) * dir v (b, h, a, c)))) = 0).
  { intros b Hb. rewrite (lsum_ext _ _ (fun _ => 0)); [apply lsum_zero|]. intro h.
    rewrite (lsum_ext _ _ (fun _ => 0)); [apply lsum_zero|]. intro a.
    rewrite (lsum_ext _ _ (fun _ => 0)); [apply lsum_zero|]. intro c. unfold dir. simpl. rewrite Hb. ring. }
  assert (O : forall b, tr b = true -> lsum (seq 0 H) (fun h => lsum (seq 0 D) (fun a => lsum (seq 0 d) (fun c => g (b, h, a, c) * dir v (b, h, a, c))))
     = lsum (seq 0 H) (fun h => lsum (seq 0 D) (fun a => lsum (seq 0 d) (fun c => g (b, h, a, c) * v (b, h, a, c))))).
  { intros b Hb. apply lsum_ext. intro h. apply lsum_ext. intro a. apply lsum_ext. intro c. unfold dir. simpl. now rewrite Hb. }
  cbn [filter].
  destruct (tr Q) eqn:TQ; destruct (tr K) eqn:TK; destruct (tr V) eqn:TV; cbn [lsum];
    rewrite ?(Z Q TQ), ?(Z K TK), ?(Z V TV), ?(O Q TQ), ?(O K TK), ?(O V TV); ring.
Qed.
Lemma hn2_sum (v : E) : lsum (seq 0 H) (fun h => hn2 Q v h + hn2 K v h + hn2 V v h) = ip v v.
Proof.
  change (ip v v) with (lsum params (fun q => v q * v q)). rewrite lsum_params. cbn [lsum].
  rewrite lsum_plus, lsum_plus, Rplus_0_r, Rplus_assoc. unfold hn2.
  f_equal; [|f_equal]; apply lsum_ext; intro h; apply lsum_ext; intro a; apply lsum_ext; intro c;
    unfold dir; simpl; match goal with |- context [tr ?b] => destruct (tr b) end; ring.
Qed.
Lemma hn_sqr b v h : hn b v h * hn b v h = hn2 b v h.
Proof. apply sqrt_sqrt, hn2_pos. Qed.
Lemma hn_le b (v : E) h : In h (seq 0 H) -> hn b v h <= nrm v.
Proof.
  intro Hh. apply sqrt_le_1_alt. rewrite <- hn2_sum.
  assert (T : forall l, In h l -> hn2 b v h <= lsum l (fun h => hn2 Q v h + hn2 K v h + hn2 V v h)).
  { induction l as [|h' l IH]; simpl; [easy|]. intros [->|I].
    - assert (0 <= lsum l (fun h => hn2 Q v h + hn2 K v h + hn2 V v h)).
      { apply lsum_pos. intros h' _. pose proof (hn2_pos Q v h'). pose proof (hn2_pos K v h'). pose proof (hn2_pos V v h'). lra. }
      pose proof (hn2_pos Q v h). pose proof (hn2_pos K v h). pose proof (hn2_pos V v h). destruct b; lra.
    - pose proof (hn2_pos Q v h'). pose proof (hn2_pos K v h'). pose proof (hn2_pos V v h'). specialize (IH I). lra. }
  now apply T.
Qed.
Lemma proj_norm b (v : E) i k h x : enorm D (X m i k) <= x -> enorm d (proj b (dir v) i k h) <= i1 b * x * hn b v h.
Proof.
  intro Hx. pose proof (enorm_pos D (X m i k)) as Px. pose proof (hn_pos b v h) as Ph.
  unfold i1. destruct (tr b) eqn:Tb.
  - rewrite Rmult_1_l. apply Rle_trans with (enorm D (X m i k) * hn b v h); [|now apply Rmult_le_compat_r].
    unfold enorm at 1. apply sqrt_le_sqr; [now apply Rmult_le_pos|].
    replace (enorm D (X m i k) * hn b v h * (enorm D (X m i k) * hn b v h)) with ((enorm D (X m i k) * enorm D (X m i k)) * (hn b v h * hn b v h)) by ring.
    rewrite hn_sqr, enorm_sqr. unfold hn2. rewrite lsum_swap. unfold dot at 1. rewrite <- lsum_scal. apply lsum_le. intros c _.
    exact (cauchy_schwarz_sqr (Rl (seq 0 D)) (X m i k) (fun a => dir v (b, h, a, c))).
  - rewrite !Rmult_0_l. apply sqrt_le_sqr; [lra|]. right. rewrite Rmult_0_l.
    unfold dot. rewrite (lsum_ext _ _ (fun _ => 0)); [apply lsum_zero|]. intro c.
    assert (Z : proj b (dir v) i k h c = 0).
    { unfold proj, dir. simpl. rewrite Tb. rewrite (lsum_ext _ _ (fun _ => 0)); [apply lsum_zero|]. intro. ring. }
    rewrite Z. ring.
Qed.

(** * Proposition 6 *)
Section Prop6.
Variable Mc : E.
Variable rho : R.
Variables (x : nat -> nat -> R) (xi o : nat -> R) (kap ups : nat -> nat -> R) (qn : nat -> nat -> nat -> R).
(* the quantities at the centre, or upper bounds of them *)
Record norms := {
  rho_ok : 0 <= rho;
  x_ok : forall i k, In i (seq 0 N) -> In k tokens -> enorm D (X m i k) <= x i k;
  xi_ok : forall i k, In i (seq 0 N) -> In k tokens -> enorm D (X m i k) <= xi i;
  o_ok : forall h w, In h (seq 0 H) -> enorm d (fun b => lsum (seq 0 p) (fun c => WO m h b c * w c)) <= o h * enorm p w;
  o_pos : forall h, In h (seq 0 H) -> 0 <= o h;
  kap_ok : forall i j h, In i (seq 0 N) -> In j tokens -> In h (seq 0 H) -> enorm d (proj K (full Mc) i j h) <= kap i h;
  qn_ok : forall i k h, In i (seq 0 N) -> In k tokens -> In h (seq 0 H) -> enorm d (proj Q (full Mc) i k h) <= qn i k h;
  ups_ok : forall i j h, In i (seq 0 N) -> In j tokens -> In h (seq 0 H) -> enorm p (fun c => value (full Mc) i j h c) <= ups i h }.
Hypothesis NO : norms.

(* b_ikh *)
Definition b6 i k h := row_b (kern m) tokens sd (i1 Q * x i k) (i1 K * xi i) (i1 V * xi i * o h)
  (qn i k h + i1 Q * x i k * rho) (kap i h + i1 K * xi i * rho) (ups i h + i1 V * xi i * o h * rho).

Lemma row_b_scal kn (l : list nat) rd xQ xK oV qb kb ub w : row_b kn l rd xQ xK (oV * w) qb kb (ub * w) = row_b kn l rd xQ xK oV qb kb ub * w.
Proof. unfold row_b, soft_b, gauss_b. destruct kn; unfold Rdiv; ring. Qed.

Lemma lsum_derive_ex {A} (l : list A) (F : A -> R -> R) s B :
  (forall h, In h l -> exists D2, is_derive (F h) s D2 /\ Rabs D2 <= B h) ->
  exists D2, is_derive (fun s => lsum l (fun h => F h s)) s D2 /\ Rabs D2 <= lsum l B.
Proof.
  induction l as [|h l IH]; intro HD.
  - exists 0. split; [exact (is_derive_const 0 s)|]. simpl. rewrite Rabs_R0. lra.
  - destruct (HD h (or_introl eq_refl)) as [d1 [D1' B1]]. destruct IH as [d2 [D2' B2]]; [intros; apply HD; now right|].
    exists (d1 + d2). split; [exact (is_derive_plus _ _ _ _ _ D1' D2')|].
    simpl. eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.

Lemma value_dot W i j h (w : nat -> R) : lsum (seq 0 p) (fun c => w c * value W i j h c) =
  dot d (proj V W i j h) (fun b => lsum (seq 0 p) (fun c => WO m h b c * w c)).
Proof.
  unfold value, dot. rewrite (lsum_ext (seq 0 p) _ (fun c => lsum (seq 0 d) (fun b => proj V W i j h b * (WO m h b c * w c)))).
  - rewrite lsum_swap. apply lsum_ext. intro b. now rewrite lsum_scal.
  - intro c. rewrite <- lsum_scal. apply lsum_ext. intro. ring.
Qed.
Lemma ball_diff (M : E) b i k h c : proj b (full M) i k h c = proj b (full Mc) i k h c + 1 * proj b (dir (vsub M Mc)) i k h c.
Proof.
  unfold proj. rewrite <- lsum_scal, <- lsum_plus. apply lsum_ext. intro a. unfold full, dir, vsub. simpl. destruct (tr b); ring.
Qed.
Lemma proj_ball b (M : E) i k h x0 B : ball E Mc rho M -> In h (seq 0 H) -> enorm D (X m i k) <= x0 ->
  enorm d (proj b (full Mc) i k h) <= B -> enorm d (proj b (full M) i k h) <= B + i1 b * x0 * rho.
Proof.
  intros HM Hh Hx HB. pose proof (enorm_pos D (X m i k)) as Px.
  replace (proj b (full M) i k h) with (fun c => proj b (full Mc) i k h c + 1 * proj b (dir (vsub M Mc)) i k h c)
    by (extensionality c; symmetry; apply ball_diff).
  eapply Rle_trans; [apply enorm_add|]. rewrite Rabs_R1, Rmult_1_l. apply Rplus_le_compat; [exact HB|].
  eapply Rle_trans; [apply proj_norm, Hx|]. apply Rmult_le_compat_l.
  - destruct (i1_cases b) as [-> | ->]; lra.
  - eapply Rle_trans; [now apply hn_le | exact HM].
Qed.
Lemma value_dir (v : E) i j h w : In i (seq 0 N) -> In j tokens -> In h (seq 0 H) ->
  Rabs (lsum (seq 0 p) (fun c => w c * value (dir v) i j h c)) <= i1 V * xi i * o h * enorm p w * hn V v h.
Proof.
  intros Hi Hj Hh. rewrite value_dot.
  replace (i1 V * xi i * o h * enorm p w * hn V v h) with (i1 V * xi i * hn V v h * (o h * enorm p w)) by ring.
  pose proof (enorm_pos D (X m i j)) as Px. pose proof (xi_ok NO i j Hi Hj) as Hx.
  apply dot_le.
  - apply Rmult_le_pos; [|apply hn_pos]. destruct (i1_cases V) as [-> | ->]; lra.
  - now apply proj_norm.
  - now apply (o_ok NO).
Qed.
Lemma value_ball (M : E) i j h w : ball E Mc rho M -> In i (seq 0 N) -> In j tokens -> In h (seq 0 H) ->
  Rabs (lsum (seq 0 p) (fun c => w c * value (full M) i j h c)) <= (ups i h + i1 V * xi i * o h * rho) * enorm p w.
Proof.
  intros HM Hi Hj Hh.
  rewrite (lsum_ext _ _ (fun c => w c * value (full Mc) i j h c + w c * value (dir (vsub M Mc)) i j h c)).
  2:{ intro c. unfold value. rewrite <- Rmult_plus_distr_l, <- lsum_plus. f_equal. apply lsum_ext. intro b. rewrite ball_diff. ring. }
  rewrite lsum_plus. eapply Rle_trans; [apply Rabs_triang|]. rewrite Rmult_plus_distr_r. apply Rplus_le_compat.
  - rewrite (Rmult_comm (ups i h)). change (Rabs (dot p w (fun c => value (full Mc) i j h c)) <= enorm p w * ups i h).
    apply dot_le; [apply enorm_pos | lra | now apply (ups_ok NO)].
  - eapply Rle_trans; [now apply value_dir|].
    replace (i1 V * xi i * o h * rho * enorm p w) with (i1 V * xi i * o h * enorm p w * rho) by ring.
    apply Rmult_le_compat_l.
    + pose proof (enorm_pos D (X m i j)). pose proof (xi_ok NO i j Hi Hj). pose proof (o_pos NO h Hh). pose proof (enorm_pos p w).
      repeat apply Rmult_le_pos; try lra. destruct (i1_cases V) as [-> | ->]; lra.
    + eapply Rle_trans; [now apply hn_le | exact HM].
Qed.

Lemma dF_dot (M : E) i k w v : lsum (seq 0 p) (fun c => w c * dF M (i, k, c) v) =
  lsum (seq 0 H) (fun h => psi (kern m) tokens (scores (full M) i k h)
    (fun j => form (kern m) d sd (proj Q (full M) i k h) (proj K (full M) i j h) (proj Q (dir v) i k h) (proj K (dir v) i j h))
    (fun j => lsum (seq 0 p) (fun c => w c * value (full M) i j h c)) (fun j => lsum (seq 0 p) (fun c => w c * value (dir v) i j h c))).
Proof.
  unfold dF. rewrite (lsum_ext (seq 0 p) _ (fun c => lsum (seq 0 H) (fun h => w c * psi (kern m) tokens (scores (full M) i k h)
    (fun j => form (kern m) d sd (proj Q (full M) i k h) (proj K (full M) i j h) (proj Q (dir v) i k h) (proj K (dir v) i j h))
    (fun j => value (full M) i j h c) (fun j => value (dir v) i j h c)))) by (intro; now rewrite lsum_scal).
  rewrite lsum_swap. apply lsum_ext. intro h. apply psi_lin.
Qed.

(* one token, all heads *)
Lemma token_curvature (M v e : E) s i k w bm : In i (seq 0 N) -> In k tokens -> 0 <= bm -> (forall h, In h (seq 0 H) -> b6 i k h <= bm) ->
  ball E Mc rho (vadd M (vscal s e)) ->
  exists D2, is_derive (fun s => lsum (seq 0 p) (fun c => w c * dF (vadd M (vscal s e)) (i, k, c) v)) s D2
    /\ Rabs D2 <= bm * enorm p w * (nrm v * nrm e).
Proof.
  intros Hi Hk Pbm Hb Bs. pose proof sd_pos as Sp.
  set (nvh := fun (v : E) h => sqrt (hn Q v h * hn Q v h + hn K v h * hn K v h + hn V v h * hn V v h)).
  assert (Nvh : forall v : E, sqrt (lsum (seq 0 H) (fun h => nvh v h * nvh v h)) = nrm v).
  { intro u. unfold nrm. f_equal. rewrite <- hn2_sum. apply lsum_ext. intro h. unfold nvh. rewrite sqrt_sqrt, !hn_sqr; [easy|].
    rewrite !hn_sqr. pose proof (hn2_pos Q u h). pose proof (hn2_pos K u h). pose proof (hn2_pos V u h). lra. }
  pose proof (enorm_pos p w) as Pw.
  destruct (lsum_derive_ex (seq 0 H) (fun h s => psi (kern m) tokens (scores (full (vadd M (vscal s e))) i k h)
    (fun j => form (kern m) d sd (proj Q (full (vadd M (vscal s e))) i k h) (proj K (full (vadd M (vscal s e))) i j h) (proj Q (dir v) i k h) (proj K (dir v) i j h))
    (fun j => lsum (seq 0 p) (fun c => w c * value (full (vadd M (vscal s e))) i j h c)) (fun j => lsum (seq 0 p) (fun c => w c * value (dir v) i j h c))) s
    (fun h => bm * enorm p w * (nvh v h * nvh e h))) as [D2 [HD HB]].
  - intros h Hh.
    pose proof (x_ok NO i k Hi Hk) as Hx. pose proof (enorm_pos D (X m i k)) as Px0. pose proof (xi_ok NO i k Hi Hk) as Hxi.
    pose proof (o_pos NO h Hh) as Po.
    assert (PQ : 0 <= i1 Q * x i k) by (destruct (i1_cases Q) as [-> | ->]; lra).
    assert (PK : 0 <= i1 K * xi i) by (destruct (i1_cases K) as [-> | ->]; lra).
    assert (PV : 0 <= i1 V * xi i) by (destruct (i1_cases V) as [-> | ->]; lra).
    pose proof (rho_ok NO) as Pr.
    destruct (row_curvature (kern m) tokens tokens_ne d sd Sp
      (proj Q (full M) i k h) (proj Q (dir v) i k h) (proj Q (dir e) i k h)
      (fun j => proj K (full M) i j h) (fun j => proj K (dir v) i j h) (fun j => proj K (dir e) i j h)
      (fun j => lsum (seq 0 p) (fun c => w c * value (full M) i j h c)) (fun j => lsum (seq 0 p) (fun c => w c * value (dir v) i j h c))
      (fun j => lsum (seq 0 p) (fun c => w c * value (dir e) i j h c))
      (i1 Q * x i k) (i1 K * xi i) (i1 V * xi i * o h * enorm p w)
      (qn i k h + i1 Q * x i k * rho) (kap i h + i1 K * xi i * rho) ((ups i h + i1 V * xi i * o h * rho) * enorm p w)
      (hn Q v h) (hn K v h) (hn V v h) (hn Q e h) (hn K e h) (hn V e h)) with (t := s) as [D2 [HD HB]].
    + pose proof (enorm_pos d (proj Q (full Mc) i k h)). pose proof (qn_ok NO i k h Hi Hk Hh).
      pose proof (enorm_pos d (proj K (full Mc) i k h)). pose proof (kap_ok NO i k h Hi Hk Hh).
      pose proof (enorm_pos p (fun c => value (full Mc) i k h c)). pose proof (ups_ok NO i k h Hi Hk Hh).
      pose proof (Rmult_le_pos _ _ PQ Pr). pose proof (Rmult_le_pos _ _ PK Pr). pose proof (Rmult_le_pos _ _ (Rmult_le_pos _ _ PV Po) Pr).
      repeat split; try assumption; try lra.
      * apply Rmult_le_pos; [now apply Rmult_le_pos | exact Pw].
      * apply Rmult_le_pos; lra.
    + repeat split; apply hn_pos.
    + replace (qt _ _ s) with (proj Q (full (vadd M (vscal s e))) i k h) by (unfold qt; apply proj_seg).
      apply proj_ball; auto. now apply (qn_ok NO).
    + intros j Hj. replace (kt _ _ j s) with (proj K (full (vadd M (vscal s e))) i j h) by (unfold kt; apply proj_seg).
      apply proj_ball; auto; [now apply (xi_ok NO) | now apply (kap_ok NO)].
    + intros j Hj. unfold ut. rewrite <- lsum_scal, <- lsum_plus.
      rewrite (lsum_ext _ _ (fun c => w c * value (full (vadd M (vscal s e))) i j h c)) by (intro; rewrite value_seg; ring).
      now apply value_ball.
    + now apply proj_norm.
    + now apply proj_norm.
    + intros j Hj. apply proj_norm. now apply (xi_ok NO).
    + intros j Hj. apply proj_norm. now apply (xi_ok NO).
    + intros j Hj. now apply value_dir.
    + intros j Hj. now apply value_dir.
    + exists D2. split.
      * eapply is_derive_ext; [|exact HD]. intro t. cbv beta. unfold scores. rewrite proj_seg. f_equal.
        -- extensionality j. unfold sc, kt. now rewrite proj_seg.
        -- extensionality j. unfold sa, kt. now rewrite proj_seg.
        -- extensionality j. unfold ut. rewrite <- lsum_scal, <- lsum_plus. apply lsum_ext. intro c. rewrite value_seg. ring.
      * eapply Rle_trans; [exact HB|]. rewrite row_b_scal. fold (b6 i k h). rewrite Rmult_assoc.
        change (nv (hn Q v h) (hn K v h) (hn V v h)) with (nvh v h). change (ne (hn Q e h) (hn K e h) (hn V e h)) with (nvh e h).
        apply Rmult_le_compat_r; [apply Rmult_le_pos; apply sqrt_pos|]. apply Rmult_le_compat_r; [exact Pw | now apply Hb].
  - exists D2. split; [eapply is_derive_ext; [|exact HD]; intro; symmetry; apply dF_dot|].
    eapply Rle_trans; [exact HB|]. rewrite lsum_scal. apply Rmult_le_compat_l; [now apply Rmult_le_pos|].
    pose proof (lsum_cauchy_schwarz (seq 0 H) (nvh v) (nvh e)) as CS. now rewrite !Nvh in CS.
Qed.

Variable bm : nat -> nat -> R.
Variable hb : R.
Hypothesis bm_pos : forall i k, 0 <= bm i k.
Hypothesis bm_ok : forall i k h, In i (seq 0 N) -> In k tokens -> In h (seq 0 H) -> b6 i k h <= bm i k.   (* max_h b_ikh *)
Hypothesis hb_pos : 0 <= hb.
Hypothesis hb_ok : lsum (list_prod (seq 0 N) tokens) (fun ik => bm (fst ik) (snd ik) * bm (fst ik) (snd ik)) <= hb * hb.

Theorem prop_6 (M v e : E) (w : G) s : ball E Mc rho (vadd M (vscal s e)) ->
  exists D2, is_derive (fun s => lsum outs (fun o => dF (vadd M (vscal s e)) o v * w o)) s D2 /\ Rabs D2 <= hb * nrm v * nrm e * nrm w.
Proof.
  intro Bs. set (wn := fun ik : nat * nat => enorm p (fun c => w (ik, c))).
  destruct (lsum_derive_ex (list_prod (seq 0 N) tokens) (fun ik s => lsum (seq 0 p) (fun c => w (ik, c) * dF (vadd M (vscal s e)) (ik, c) v)) s
    (fun ik => bm (fst ik) (snd ik) * wn ik * (nrm v * nrm e))) as [D2 [HD HB]].
  { intros [i k] Hik. apply in_prod_iff in Hik. destruct Hik as [Hi Hk].
    apply (token_curvature M v e s i k (fun c => w (i, k, c)) (bm i k)); auto. }
  exists D2. split.
  - eapply is_derive_ext; [|exact HD]. intro t. unfold outs. rewrite (lsum_prod (list_prod (seq 0 N) tokens)). apply lsum_ext. intro ik.
    apply lsum_ext. intro. apply Rmult_comm.
  - eapply Rle_trans; [exact HB|]. rewrite lsum_scal_r.
    pose proof (lsum_cauchy_schwarz (list_prod (seq 0 N) tokens) (fun ik => bm (fst ik) (snd ik)) wn) as CS.
    assert (Wn : sqrt (lsum (list_prod (seq 0 N) tokens) (fun ik => wn ik * wn ik)) = nrm w).
    { unfold nrm. f_equal. unfold G, Rl, outs. cbn [ip]. rewrite (lsum_prod (list_prod (seq 0 N) tokens)).
      apply lsum_ext. intro ik. unfold wn. rewrite enorm_sqr. reflexivity. }
    rewrite Wn in CS. pose proof (sqrt_le_sqr _ _ hb_pos hb_ok) as Hh.
    pose proof (nrm_pos _ w) as Pw. pose proof (Rmult_le_pos _ _ (nrm_pos _ v) (nrm_pos _ e)) as Pve.
    pose proof (Rmult_le_compat_r _ _ _ Pw Hh) as T. apply Rle_trans with (hb * nrm w * (nrm v * nrm e)); [|right; ring].
    apply Rmult_le_compat_r; [exact Pve|]. eapply Rle_trans; [exact CS | exact T].
Qed.

(* the first consequence: the Jacobian is Lipschitz in the ball *)
Definition J (M v : E) : G := fun o => dF M o v.
Theorem prop_6_curvature : curvature E G J Mc rho hb.
Proof.
  intros M M' v w HM HM'. set (e := vsub M M').
  set (g := fun s : R => lsum outs (fun o => dF (vadd M' (vscal s e)) o v * w o) : R).
  assert (Der : forall s, 0 <= s <= 1 -> is_derive g s (Derive g s) /\ Rabs (Derive g s) <= hb * nrm v * nrm e * nrm w).
  { intros s Hs. destruct (prop_6 M' v e w s) as [D2 [HD HB]]; [now apply ball_convex|]. fold g in HD.
    pose proof (is_derive_unique g s D2 HD) as Un. rewrite Un. now split. }
  destruct (mean_value g (Derive g) 1 Rle_0_1 (fun s Hs => proj1 (Der s Hs))) as [s [Hs Q0]]. unfold g at 1 2 in Q0.
  assert (P1 : vadd M' (vscal 1 e) = M) by apply (vseg E M' M).
  assert (P0 : vadd M' (vscal 0 e) = M') by apply (vadd_scal0 E M' e).
  rewrite P1, P0, Rmult_1_r in Q0.
  change (Rabs (lsum outs (fun o => dF M o v * w o) - lsum outs (fun o => dF M' o v * w o)) <= hb * nrm e * nrm v * nrm w).
  rewrite Q0. eapply Rle_trans; [exact (proj2 (Der s Hs))|]. right. ring.
Qed.
End Prop6.

(** * The Jacobian's entries, and the gradient *)
Definition beta_j (W : par -> R) i k c h j := weight (kern m) tokens (scores W i k h) j
  * (value W i j h c - mean (kern m) tokens (scores W i k h) (fun j => value W i j h c)).
Definition gQ (W : par -> R) i k h j b := match kern m with Softmax => proj K W i j h b | Gaussian => proj K W i j h b - proj Q W i k h b end.
Definition gK (W : par -> R) i k h j b := match kern m with Softmax => proj Q W i k h b | Gaussian => proj Q W i k h b - proj K W i j h b end.
Definition entry (W : par -> R) (o : nat * nat * nat) (q : par) := let '(i, k, c) := o in let '(bl, h, a, b) := q in
  match bl with
  | Q => X m i k a * (lsum tokens (fun j => beta_j W i k c h j * gQ W i k h j b) / sd)
  | K => lsum tokens (fun j => X m i j a * (beta_j W i k c h j * gK W i k h j b)) / sd
  | V => lsum tokens (fun j => weight (kern m) tokens (scores W i k h) j * X m i j a) * WO m h b c
  end.

Lemma rep M o v : dF M o v = lsum params (fun q => entry (full M) o q * v q).
Proof.
  rewrite lsum_params. destruct o as [[i k] c]. unfold dF. cbn [lsum]. rewrite Rplus_0_r.
  rewrite <- !lsum_plus. apply lsum_ext. intro h. set (W := full M). pose proof sd_pos as Sp.
  set (be := beta_j W i k c h). set (s := weight (kern m) tokens (scores W i k h)).
  rewrite (lsum_ext (seq 0 D) (fun a => lsum (seq 0 d) (fun b => entry W (i, k, c) (Q, h, a, b) * dir v (Q, h, a, b)))
    (fun a => lsum tokens (fun j => be j * / sd * lsum (seq 0 d) (fun b => X m i k a * dir v (Q, h, a, b) * gQ W i k h j b)))).
  2:{ intro a. rewrite (lsum_ext tokens _ (fun j => lsum (seq 0 d) (fun b => be j * / sd * (X m i k a * dir v (Q, h, a, b) * gQ W i k h j b)))) by (intro; now rewrite lsum_scal).
      rewrite lsum_swap. apply lsum_ext. intro b. cbn [entry]. unfold be.
      transitivity (X m i k a * dir v (Q, h, a, b) * / sd * lsum tokens (fun j => beta_j W i k c h j * gQ W i k h j b));
        [unfold Rdiv; ring | rewrite <- lsum_scal; apply lsum_ext; intro; ring]. }
  rewrite (lsum_ext (seq 0 D) (fun a => lsum (seq 0 d) (fun b => entry W (i, k, c) (K, h, a, b) * dir v (K, h, a, b)))
    (fun a => lsum tokens (fun j => be j * / sd * lsum (seq 0 d) (fun b => X m i j a * dir v (K, h, a, b) * gK W i k h j b)))).
  2:{ intro a. rewrite (lsum_ext tokens _ (fun j => lsum (seq 0 d) (fun b => be j * / sd * (X m i j a * dir v (K, h, a, b) * gK W i k h j b)))) by (intro; now rewrite lsum_scal).
      rewrite lsum_swap. apply lsum_ext. intro b. cbn [entry]. unfold be.
      transitivity (dir v (K, h, a, b) * / sd * lsum tokens (fun j => X m i j a * (beta_j W i k c h j * gK W i k h j b)));
        [unfold Rdiv; ring | rewrite <- lsum_scal; apply lsum_ext; intro; ring]. }
  rewrite (lsum_ext (seq 0 D) (fun a => lsum (seq 0 d) (fun b => entry W (i, k, c) (V, h, a, b) * dir v (V, h, a, b)))
    (fun a => lsum tokens (fun j => s j * lsum (seq 0 d) (fun b => X m i j a * dir v (V, h, a, b) * WO m h b c)))).
  2:{ intro a. rewrite (lsum_ext tokens _ (fun j => lsum (seq 0 d) (fun b => s j * (X m i j a * dir v (V, h, a, b) * WO m h b c)))) by (intro; now rewrite lsum_scal).
      rewrite lsum_swap. apply lsum_ext. intro b. cbn [entry]. unfold s.
      transitivity (WO m h b c * dir v (V, h, a, b) * lsum tokens (fun j => weight (kern m) tokens (scores W i k h) j * X m i j a));
        [ring | rewrite <- lsum_scal; apply lsum_ext; intro; ring]. }
  rewrite !(lsum_swap (seq 0 D)), <- !lsum_plus. unfold psi. apply lsum_ext. intro j. rewrite !lsum_scal, !(lsum_swap (seq 0 D)).
  rewrite form_split by exact Sp. fold (gQ W i k h j) (gK W i k h j). fold s. unfold be, beta_j. fold s.
  assert (P : forall bl kk g, lsum (seq 0 d) (fun b => lsum (seq 0 D) (fun a => X m i kk a * dir v (bl, h, a, b) * g b)) = dot d (proj bl (dir v) i kk h) g).
  { intros. apply lsum_ext. intro b. unfold proj. now rewrite lsum_scal_r. }
  rewrite (P Q k (gQ W i k h j)), (P K j (gK W i k h j)), (P V j (fun b => WO m h b c)).
  change (value (dir v) i j h c) with (dot d (proj V (dir v) i j h) (fun b => WO m h b c)).
  change (fun b => match kern m with Softmax => proj K W i j h b | Gaussian => proj K W i j h b - proj Q W i k h b end) with (gQ W i k h j).
  change (fun b => match kern m with Softmax => proj Q W i k h b | Gaussian => proj Q W i k h b - proj K W i j h b end) with (gK W i k h j).
  field. lra.
Qed.

Definition r (M : E) : G := fun o => res (full M) o.
Definition Jt (M : E) (w : G) : E := fun q => lsum outs (fun o => entry (full M) o q * w o).

Theorem jac : jacobian E G r J Jt.
Proof.
  constructor.
  - intros M v w. unfold J, Jt. simpl.
    rewrite (lsum_ext outs _ (fun o => lsum params (fun q => v q * (entry (full M) o q * w o)))).
    + rewrite lsum_swap. apply lsum_ext. intro q. now rewrite lsum_scal.
    + intro o. rewrite rep, <- lsum_scal_r. apply lsum_ext. intro. ring.
  - intros M v w s. apply (lsum_derive outs (fun o s => res (full (vadd M (vscal s v))) o * w o)).
    intros o _. apply (is_derive_ext (fun s => w o * res (full (vadd M (vscal s v))) o)); [intro; apply Rmult_comm|].
    unfold J. rewrite Rmult_comm. apply @is_derive_scal, D1.
Qed.
Lemma loss_f M : loss E G r M = f (full M).
Proof. reflexivity. Qed.

Lemma in_params q : In q params <-> tr (block_of q) = true /\ in_range q.
Proof.
  destruct q as [[[bl h] a] b]. unfold params, blocks, par. rewrite 3!in_prod_iff, filter_In, !in_seq. simpl.
  assert (Q = bl \/ K = bl \/ V = bl \/ False) by (destruct bl; auto). intuition lia.
Qed.
Lemma params_nodup : NoDup params.
Proof.
  unfold params, blocks. repeat apply nodup_prod; try apply seq_NoDup.
  apply NoDup_filter. repeat constructor; simpl; intuition discriminate.
Qed.

Lemma partial_grad M q : In q params -> partial q (full M) = grad E G r Jt M q.
Proof.
  intro Hq. pose proof (proj1 (in_params q) Hq) as [Tq _].
  set (M0 := upd M q 0 : E). set (e := (fun q' => if par_eq_dec q' q then 1 else 0) : E).
  assert (Seg : forall x, upd (full M) q x = full (vadd M0 (vscal x e))).
  { intro x. extensionality q'. unfold M0, upd, e, full. simpl. unfold upd. destruct par_eq_dec as [->|]; [rewrite Tq; ring|].
    destruct (tr (block_of q')); ring. }
  assert (At : full (vadd M0 (vscal (full M q) e)) = full M).
  { rewrite <- Seg. extensionality q'. unfold upd. destruct par_eq_dec as [->|]; easy. }
  unfold partial. apply is_derive_unique.
  apply (is_derive_ext (fun s => f (full (vadd M0 (vscal s e))))); [intro; now rewrite Seg|].
  assert (Der : forall s, is_derive (fun s => f (full (vadd M0 (vscal s e)))) s
     (/ 2 * lsum outs (fun o => 2 * (res (full (vadd M0 (vscal s e))) o * dF (vadd M0 (vscal s e)) o e)))).
  { intro s. unfold f. apply @is_derive_scal.
    apply (lsum_derive outs (fun o s => res (full (vadd M0 (vscal s e))) o * res (full (vadd M0 (vscal s e))) o)).
    intros o _. pose proof (D1 M0 e s o) as Dq. evar_last; [exact (is_derive_mult _ _ _ _ _ Dq Dq Rmult_comm)|].
    unfold plus, mult. simpl. ring. }
  evar_last; [apply Der|]. rewrite lsum_scal. unfold grad, Jt.
  replace (/ 2 * (2 * _)) with (lsum outs (fun o => res (full (vadd M0 (vscal (full M q) e))) o * dF (vadd M0 (vscal (full M q) e)) o e)) by field.
  apply lsum_ext. intro o. rewrite rep, At. unfold r. rewrite Rmult_comm. f_equal.
  exact (lsum_delta par_eq_dec params (entry (full M) o) q params_nodup Hq).
Qed.

Lemma full_W0 : full W0 = W0.
Proof. extensionality q. unfold full. now destruct (tr (block_of q)). Qed.

(* gradient descent by partial derivatives is gradient descent in E *)
Theorem descent_gd eta W : descent tr eta W0 W -> forall t q, in_range q -> W t q = full (gd E G r Jt eta W0 t) q.
Proof.
  intros [H0 HS]. induction t as [|t IH]; intros q Hq; [rewrite H0 by exact Hq; simpl; now rewrite full_W0|].
  rewrite HS, IH by exact Hq. cbn [gd]. set (M := gd E G r Jt eta W0 t) in *. unfold full at 3. destruct (tr (block_of q)) eqn:Tq.
  - unfold step. simpl. assert (Hp : In q params) by (now apply in_params). rewrite <- partial_grad by exact Hp.
    unfold full at 1. rewrite Tq. unfold partial. rewrite IH by exact Hq.
    rewrite (Derive_ext (fun x => f (upd (W t) q x)) (fun x => f (upd (full M) q x))); [ring|].
    intro x. apply agree_f. intros q' Hq'. unfold upd. destruct par_eq_dec; auto.
  - unfold full. now rewrite Tq.
Qed.
Corollary descent_loss eta W : descent tr eta W0 W -> forall t, f (W t) = loss E G r (gd E G r Jt eta W0 t).
Proof. intros Ds t. rewrite loss_f. apply agree_f. now apply descent_gd. Qed.

(** * Theorem A on the model: the numbers of a certificate imply the rate *)
Theorem model_converges rho x xi o kap ups qn bm hb alpha_c Lam Rc eta beta :
  norms W0 rho x xi o kap ups qn ->
  (forall i k, 0 <= bm i k) ->
  (forall i k h, In i (seq 0 N) -> In k tokens -> In h (seq 0 H) -> b6 rho x xi o kap ups qn i k h <= bm i k) ->
  0 <= hb -> lsum (list_prod (seq 0 N) tokens) (fun ik => bm (fst ik) (snd ik) * bm (fst ik) (snd ik)) <= hb * hb ->
  0 <= alpha_c -> 0 <= Lam -> 0 <= Rc ->
  (forall w, alpha_c * alpha_c * lsum outs (fun o => w o * w o)
     <= lsum params (fun q => lsum outs (fun o => entry W0 o q * w o) * lsum outs (fun o => entry W0 o q * w o))) ->
  (forall w, lsum params (fun q => lsum outs (fun o => entry W0 o q * w o) * lsum outs (fun o => entry W0 o q * w o))
     <= Lam * Lam * lsum outs (fun o => w o * w o)) ->
  lsum outs (fun o => res W0 o * res W0 o) <= Rc * Rc ->
  closes rho hb alpha_c Lam Rc eta ->
  0 <= 1 - eta * beta -> eta * beta <= rate rho hb alpha_c Lam Rc eta ->
  forall W, descent tr eta W0 W -> forall t, f (W t) <= (1 - eta * beta) ^ t * f (W 0%nat).
Proof.
  intros NO Pb Hb Ph Hh Pa PL PR low up Hres CLO Pe Hrate W Ds t.
  rewrite !(descent_loss eta W Ds). cbn [gd].
  apply (theorem_A_claim E G r J Jt W0 rho hb alpha_c Lam Rc eta jac); try assumption.
  constructor; try assumption.
  - exact (rho_ok _ _ _ _ _ _ _ _ NO).
  - now apply (prop_6_curvature W0 rho x xi o kap ups qn NO bm hb).
  - intro w. apply le_of_sqr; [apply nrm_pos|]. rewrite nrm_sqr.
    replace (alpha_c * nrm w * (alpha_c * nrm w)) with (alpha_c * alpha_c * (nrm w * nrm w)) by ring.
    rewrite nrm_sqr. unfold Jt. rewrite full_W0. exact (low w).
  - intros v w. rewrite (adjoint _ _ _ _ _ jac).
    eapply Rle_trans; [apply cauchy_schwarz|]. rewrite (Rmult_comm Lam), Rmult_assoc.
    apply Rmult_le_compat_l; [apply nrm_pos|].
    apply le_of_sqr; [apply Rmult_le_pos; [exact PL | apply nrm_pos]|]. rewrite nrm_sqr.
    replace (Lam * nrm w * (Lam * nrm w)) with (Lam * Lam * (nrm w * nrm w)) by ring.
    rewrite nrm_sqr. unfold Jt. rewrite full_W0. exact (up w).
  - apply sqrt_le_sqr; [exact PR|]. unfold r. rewrite full_W0. exact Hres.
Qed.
End Model.
