(* Theorem A over abstract spaces, with the radius condition R <= rho (alpha_c - rho h / 2)(1 - eta L / 2), which
   R <= rho (alpha_c - rho h)(1 - eta L / 2) implies.
   Differentiability is asked for in a weak form only: s |-> <r(M + s v), w> has the derivative <J(M + s v) v, w>.
   The proof uses no Hessian and no first return: one inequality (descent) on the piece of a step that fits into the ball,
   and one invariant, theta Phi(|M_t - M_c|) <= R - |r_t| with Phi(x) = alpha_c x - h x^2 / 2. *)
Require Import Reals Lra Psatz.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces.
Open Scope R_scope.

Section TheoremA.
Variables E G : ips.
Variable r : E -> G.            (* residual *)
Variable J : E -> E -> G.       (* Jacobian: J M v *)
Variable Jt : E -> G -> E.      (* its transpose *)

Record jacobian : Prop := {
  adjoint : forall M v w, ip (J M v) w = ip v (Jt M w);
  derivative : forall M v w s,
    is_derive (fun s => ip (r (vadd M (vscal s v))) w) s (ip (J (vadd M (vscal s v)) v) w) }.

(* h bounds the curvature in the ball: |J(M) - J(M')| <= h |M - M'| *)
Definition curvature Mc rho h := forall M M' v w, ball E Mc rho M -> ball E Mc rho M' ->
  Rabs (ip (J M v) w - ip (J M' v) w) <= h * nrm (vsub M M') * nrm v * nrm w.

(* what a certificate knows of its centre *)
Record centre Mc rho h alpha_c Lam Rc : Prop := {
  rho_pos : 0 <= rho;
  h_pos : 0 <= h;
  curved : curvature Mc rho h;
  sigma_min : forall w, alpha_c * nrm w <= nrm (Jt Mc w);                  (* alpha_c <= sigma_min(J(M_c)') *)
  lam_pos : 0 <= Lam;
  sigma_max : forall v w, Rabs (ip (J Mc v) w) <= Lam * nrm v * nrm w;     (* |J(M_c)| <= Lambda *)
  residual_le : nrm (r Mc) <= Rc }.

Definition alpha rho h alpha_c := alpha_c - rho * h.
Definition smoothness rho h Lam Rc := (Lam + rho * h) * (Lam + rho * h) + Rc * h.

(* the conditions of Theorem A *)
Record closes rho h alpha_c Lam Rc eta : Prop := {
  alpha_pos : 0 < alpha rho h alpha_c;
  eta_pos : 0 < eta;
  step_small : eta * smoothness rho h Lam Rc < 2;
  radius : Rc <= rho * (alpha_c - rho * h / 2) * (1 - eta * smoothness rho h Lam Rc / 2) }.

Definition rate rho h alpha_c Lam Rc eta :=
  2 * eta * (alpha rho h alpha_c * alpha rho h alpha_c) * (1 - eta * smoothness rho h Lam Rc / 2).
Definition loss (M : E) := / 2 * ip (r M) (r M).
Definition grad (M : E) := Jt M (r M).
Definition step eta (M : E) := vadd M (vscal (- eta) (grad M)).
Fixpoint gd eta M t := match t with O => M | S t => step eta (gd eta M t) end.

Lemma loss_nrm M : loss M = / 2 * (nrm (r M) * nrm (r M)).
Proof. unfold loss. now rewrite nrm_sqr. Qed.
Lemma loss_pos M : 0 <= loss M.
Proof. unfold loss. pose proof (ip_pos _ (r M)). lra. Qed.

Section Centre.
Variable Mc : E.
Variables rho h alpha_c Lam Rc eta : R.
Hypothesis JAC : jacobian.
Hypothesis CEN : centre Mc rho h alpha_c Lam Rc.
Let rho0 := rho_pos _ _ _ _ _ _ CEN.
Let h0 := h_pos _ _ _ _ _ _ CEN.
Let lam0 := lam_pos _ _ _ _ _ _ CEN.
Let Hcurv := curved _ _ _ _ _ _ CEN.
Notation inside := (ball E Mc rho).
Let K := Lam + rho * h.

Lemma rc_pos : 0 <= Rc.
Proof. eapply Rle_trans; [apply nrm_pos | exact (residual_le _ _ _ _ _ _ CEN)]. Qed.
Lemma K_pos : 0 <= K.
Proof. unfold K. pose proof (Rmult_le_pos _ _ rho0 h0). lra. Qed.

(* |J(M)| <= Lambda + h |M - M_c| <= K *)
Lemma jac_at M v w : inside M -> Rabs (ip (J M v) w) <= (Lam + h * nrm (vsub M Mc)) * nrm v * nrm w.
Proof.
  intro B. pose proof (Hcurv M Mc v w B (ball_centre _ _ _ rho0)) as C. pose proof (sigma_max _ _ _ _ _ _ CEN v w) as N.
  replace (ip (J M v) w) with ((ip (J M v) w - ip (J Mc v) w) + ip (J Mc v) w) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.
Lemma jac_ball M v w : inside M -> Rabs (ip (J M v) w) <= K * nrm v * nrm w.
Proof.
  intro B. eapply Rle_trans; [now apply jac_at|]. repeat (apply Rmult_le_compat_r; [apply nrm_pos|]).
  unfold K. rewrite (Rmult_comm rho). apply Rplus_le_compat_l. now apply Rmult_le_compat_l.
Qed.
(* sigma_min(J(M)') >= alpha_c - h |M - M_c| *)
Lemma sigma_at M w : inside M -> (alpha_c - h * nrm (vsub M Mc)) * nrm w <= nrm (Jt M w).
Proof.
  intro B. set (u := Jt Mc w). set (D := nrm (vsub M Mc)).
  pose proof (Hcurv Mc M u w (ball_centre _ _ _ rho0) B) as C.
  rewrite (nrm_sub_sym _ Mc M) in C. fold D in C.
  rewrite !(adjoint JAC) in C. fold u in C. rewrite <- nrm_sqr in C.
  pose proof (ip_le _ u (Jt M w)) as A. pose proof (sigma_min _ _ _ _ _ _ CEN w) as S. fold u in S.
  pose proof (nrm_pos _ u) as Pu. pose proof (nrm_pos _ w) as Pw. pose proof (nrm_pos _ (Jt M w)) as Pj.
  assert (PD : 0 <= D) by apply nrm_pos. pose proof (Rmult_le_pos _ _ h0 PD) as PhD.
  apply Rabs_le_between in C.
  destruct (Rle_lt_or_eq_dec 0 _ Pu) as [P|P].
  - assert (nrm u <= nrm (Jt M w) + h * D * nrm w) by (apply Rmult_le_reg_l with (nrm u); [exact P|]; lra). lra.
  - rewrite <- P in S. pose proof (Rmult_le_pos _ _ PhD Pw). lra.
Qed.

(* along a segment in the ball *)
Section Segment.
Variables (M v : E) (s : R).
Hypothesis s_pos : 0 <= s.
Hypothesis within : forall x, 0 <= x <= s -> inside (vadd M (vscal x v)).

Lemma residual_lipschitz : nrm (vsub (r (vadd M (vscal s v))) (r M)) <= s * (K * nrm v).
Proof.
  set (w := vsub (r (vadd M (vscal s v))) (r M)).
  destruct (mean_value (fun x => ip (r (vadd M (vscal x v))) w) (fun x => ip (J (vadd M (vscal x v)) v) w) s s_pos) as [c [Hc Q]].
  { intros. apply (derivative JAC). }
  rewrite vadd_scal0, <- ip_sub in Q. fold w in Q. rewrite <- nrm_sqr in Q.
  pose proof (jac_ball _ v w (within c Hc)) as B. apply Rabs_le_between in B.
  pose proof (nrm_pos _ w) as P. pose proof (nrm_pos _ v) as Pv. pose proof K_pos as KP.
  destruct (Rle_lt_or_eq_dec 0 _ P) as [P'|P']; [|rewrite <- P'; repeat apply Rmult_le_pos; assumption].
  apply Rmult_le_reg_r with (nrm w); [exact P'|]. rewrite Q. nra.
Qed.
Lemma residual_taylor w :
  ip (r (vadd M (vscal s v))) w <= ip (r M) w + s * ip (J M v) w + h / 2 * (s * s) * (nrm v * nrm v) * nrm w.
Proof.
  set (c0 := ip (J M v) w). set (c1 := h / 2 * (nrm v * nrm v) * nrm w).
  destruct (mean_value (fun x => ip (r (vadd M (vscal x v))) w - (x * c0 + x * x * c1))
    (fun x => ip (J (vadd M (vscal x v)) v) w - (c0 + 2 * x * c1)) s s_pos) as [c [Hc Q]].
  { intros. apply @is_derive_minus; [apply (derivative JAC)|]. auto_derive; [exact I|]. ring. }
  rewrite vadd_scal0 in Q.
  assert (B0 : inside M). { rewrite <- (vadd_scal0 E M v). apply within. lra. }
  pose proof (Hcurv _ M v w (within c Hc) B0) as B.
  rewrite nrm_move, (Rabs_right c) in B by lra. apply Rabs_le_between in B. fold c0 in B. destruct B as [_ B].
  assert (E1 : h * (c * nrm v) * nrm v * nrm w = 2 * c * c1) by (unfold c1; field).
  rewrite E1 in B. unfold c1 in *. nra.
Qed.
End Segment.

Hypothesis CLO : closes rho h alpha_c Lam Rc eta.
Let eta0 := eta_pos _ _ _ _ _ _ CLO.
Let L := smoothness rho h Lam Rc.
Let theta := 1 - eta * L / 2.
Let Phi x := x * (alpha_c - x * h / 2).

Lemma L_pos : 0 <= L.
Proof. unfold L, smoothness. pose proof (Rmult_le_pos _ _ rc_pos h0). pose proof (sqr_pos (Lam + rho * h)). lra. Qed.
Lemma theta_pos : 0 < theta.
Proof. unfold theta. pose proof (step_small _ _ _ _ _ _ CLO). fold L in H. lra. Qed.

(* descent on a piece of a step that is in the ball *)
Lemma descent M s : 0 <= s -> nrm (r M) <= Rc ->
  (forall x, 0 <= x <= s -> inside (vadd M (vscal x (vscal (-1) (grad M))))) ->
  loss (vadd M (vscal s (vscal (-1) (grad M)))) <= loss M - s * (1 - L * s / 2) * (nrm (grad M) * nrm (grad M)).
Proof.
  intros Hs Hr In. set (v := vscal (-1) (grad M)) in *. set (r' := r (vadd M (vscal s v))). set (g := nrm (grad M)).
  pose proof (residual_lipschitz M v s Hs In) as Li. pose proof (residual_taylor M v s Hs In (r M)) as T. fold r' in Li, T.
  assert (Nv : nrm v = g) by apply nrm_neg. rewrite Nv in Li, T.
  assert (JV : ip (J M v) (r M) = - (g * g)).
  { rewrite (adjoint JAC). fold (grad M). unfold v, g. rewrite ip_scal, nrm_sqr. ring. }
  rewrite JV in T. fold r'.
  (* 1/2 |r'|^2 = 1/2 |r|^2 + <r' - r, r> + 1/2 |r' - r|^2 *)
  assert (Id : loss (vadd M (vscal s v)) = loss M + (ip r' (r M) - ip (r M) (r M)) + / 2 * (nrm (vsub r' (r M)) * nrm (vsub r' (r M)))).
  { unfold loss. fold r'. rewrite nrm_sqr, ip_sub, !ip_sub_r, (ip_sym _ (r M) r'). field. }
  rewrite Id. pose proof (nrm_pos _ (vsub r' (r M))) as P.
  assert (Sq : nrm (vsub r' (r M)) * nrm (vsub r' (r M)) <= (s * (K * g)) * (s * (K * g))) by (apply Rmult_le_compat; assumption).
  assert (T' : h / 2 * (s * s) * (g * g) * nrm (r M) <= h / 2 * (s * s) * (g * g) * Rc).
  { apply Rmult_le_compat_l; [|exact Hr]. repeat apply Rmult_le_pos; try lra; apply nrm_pos. }
  unfold L, smoothness. fold K. nra.
Qed.

Lemma invariant M : inside M -> theta * Phi (nrm (vsub M Mc)) <= Rc - nrm (r M) ->
  inside (step eta M) /\ theta * Phi (nrm (vsub (step eta M) Mc)) <= Rc - nrm (r (step eta M)) /\
  loss (step eta M) <= (1 - rate rho h alpha_c Lam Rc eta) * loss M.
Proof.
  intros BM Inv. set (D := nrm (vsub M Mc)) in *. set (g := nrm (grad M)). set (rt := nrm (r M)) in *.
  pose proof theta_pos as Th. pose proof (alpha_pos _ _ _ _ _ _ CLO) as Al. unfold alpha in Al.
  assert (PD : 0 <= D) by apply nrm_pos. assert (Prt : 0 <= rt) by apply nrm_pos. assert (Pg : 0 <= g) by apply nrm_pos.
  assert (HD : D <= rho) by exact BM.
  assert (HR : Rc <= theta * Phi rho). { pose proof (radius _ _ _ _ _ _ CLO). unfold theta, Phi, L. lra. }
  (* Phi grows on [0, rho], with a slope of at most alpha_c - h D from D on *)
  assert (Slope : forall x y, 0 <= x -> x <= y -> y <= rho -> 0 <= Phi y - Phi x <= (y - x) * (alpha_c - h * x)).
  { intros x y Hx Hxy Hy. assert (Q : Phi y - Phi x = (y - x) * (alpha_c - h * (x + y) / 2)) by (unfold Phi; field).
    rewrite Q. assert (h * (x + y) <= h * (2 * rho)) by (apply Rmult_le_compat_l; lra).
    assert (h * (2 * x) <= h * (x + y)) by (apply Rmult_le_compat_l; lra).
    split; [apply Rmult_le_pos; lra | apply Rmult_le_compat_l; lra]. }
  assert (Phi0 : Phi 0 = 0) by (unfold Phi; ring).
  assert (PD' : 0 <= Phi D). { pose proof (Slope 0 D). lra. }
  assert (Hrt : rt <= Rc). { pose proof (Rmult_le_pos theta (Phi D)). lra. }
  pose proof (sigma_at M (r M) BM) as Hg. fold D rt (grad M) g in Hg.
  assert (Al' : alpha_c - rho * h <= alpha_c - h * D). { assert (h * D <= h * rho) by now apply Rmult_le_compat_l. lra. }
  assert (In : forall s, 0 <= s -> D + s * g <= rho ->
    forall x, 0 <= x <= s -> inside (vadd M (vscal x (vscal (-1) (grad M))))).
  { intros s Hs Fit x Hx. unfold ball. eapply Rle_trans; [apply nrm_move_le|].
    rewrite nrm_neg, (Rabs_right x) by lra. fold g. fold D. nra. }
  (* on a piece of the step that fits: descent, and |r| falls by more than theta (alpha_c - h D) times its length *)
  assert (Piece : forall s, 0 <= s <= eta -> D + s * g <= rho ->
     loss (vadd M (vscal s (vscal (-1) (grad M)))) <= loss M - s * theta * (g * g) /\
     (0 < s * g -> s * g * (theta * (alpha_c - h * D)) < rt - nrm (r (vadd M (vscal s (vscal (-1) (grad M))))))).
  { intros s Hs Fit. pose proof (descent M s (proj1 Hs) Hrt (In s (proj1 Hs) Fit)) as De. fold g in De.
    assert (De' : loss (vadd M (vscal s (vscal (-1) (grad M)))) <= loss M - s * theta * (g * g)).
    { eapply Rle_trans; [exact De|]. apply Rplus_le_compat_l, Ropp_le_contravar.
      apply Rmult_le_compat_r; [nra|]. apply Rmult_le_compat_l; [tauto|]. unfold theta. pose proof L_pos. nra. }
    split; [exact De'|]. intro Pos. rewrite !loss_nrm in De'. fold rt in De'.
    set (rs := nrm (r (vadd M (vscal s (vscal (-1) (grad M)))))) in *. assert (Prs : 0 <= rs) by apply nrm_pos.
    set (a := alpha_c - h * D) in *.
    assert (A1 : s * g * (theta * a) * rt <= s * theta * (g * g)).
    { replace (s * theta * (g * g)) with (s * g * theta * g) by ring.
      replace (s * g * (theta * a) * rt) with (s * g * theta * (a * rt)) by ring.
      apply Rmult_le_compat_l; [|exact Hg]. apply Rmult_le_pos; lra. }
    assert (A2 : 0 < s * theta * (g * g)).
    { replace (s * theta * (g * g)) with (s * g * (theta * g)) by ring.
      apply Rmult_lt_0_compat; [exact Pos|]. apply Rmult_lt_0_compat; [exact Th|].
      destruct Pg as [Pg|Pg]; [exact Pg|]. rewrite <- Pg in Pos. lra. }
    assert (A3 : rs < rt) by nra. assert (A4 : 0 < rt) by lra.
    apply Rmult_lt_reg_r with rt; [exact A4|]. nra. }
  (* the whole step fits: otherwise |r| would fall below 0 where the ball ends *)
  assert (Fits : D + eta * g <= rho).
  { apply Rnot_lt_le. intro Long.
    assert (Pg' : 0 < g). { destruct Pg as [Pg|Pg]; [exact Pg|]. rewrite <- Pg in Long. lra. }
    set (s := (rho - D) / g). assert (Sg : s * g = rho - D) by (unfold s; field; lra).
    assert (Hs : 0 <= s <= eta) by (split; apply Rmult_le_reg_r with g; try exact Pg'; lra).
    destruct (Piece s Hs ltac:(lra)) as [_ Len].
    destruct (Rle_lt_or_eq_dec 0 (s * g) ltac:(nra)) as [P|P].
    - specialize (Len P). rewrite Sg in Len. pose proof (nrm_pos _ (r (vadd M (vscal s (vscal (-1) (grad M)))))).
      destruct (Slope D rho PD HD ltac:(lra)) as [_ Sl]. assert (theta * (Phi rho - Phi D) <= theta * ((rho - D) * (alpha_c - h * D))) by (apply Rmult_le_compat_l; lra).
      nra.
    - (* on the boundary already: then the residual and the gradient vanish *)
      assert (DR : D = rho) by lra. rewrite DR in Inv. assert (rt = 0) by lra.
      pose proof (jac_ball M (grad M) (r M) BM) as JB. rewrite (adjoint JAC) in JB. fold (grad M) in JB.
      rewrite <- nrm_sqr in JB. fold rt g in JB. rewrite H in JB. rewrite Rmult_0_r in JB. apply Rabs_le_between in JB. nra. }
  destruct (Piece eta ltac:(lra) Fits) as [De Len].
  assert (EqS : step eta M = vadd M (vscal eta (vscal (-1) (grad M)))).
  { unfold step. rewrite vscal_scal. do 2 f_equal. ring. }
  rewrite EqS. set (M' := vadd M (vscal eta (vscal (-1) (grad M)))) in *.
  assert (Dist : nrm (vsub M' Mc) <= D + eta * g).
  { eapply Rle_trans; [apply nrm_move_le|]. rewrite nrm_neg, (Rabs_right eta) by lra. fold g. fold D. lra. }
  split; [unfold ball; lra|]. split.
  - assert (Len' : eta * g * (theta * (alpha_c - h * D)) <= rt - nrm (r M')).
    { destruct (Rle_lt_or_eq_dec 0 (eta * g) ltac:(nra)) as [P|P]; [left; now apply Len|].
      rewrite <- P, Rmult_0_l. rewrite !loss_nrm in De. fold rt in De.
      assert (g = 0) by nra. rewrite H in De. pose proof (nrm_pos _ (r M')). nra. }
    pose proof (Slope (nrm (vsub M' Mc)) (D + eta * g) (nrm_pos _ _) Dist Fits) as [S1 _].
    assert (0 <= eta * g) by nra.
    destruct (Slope D (D + eta * g) PD ltac:(lra) Fits) as [_ S2].
    assert (theta * Phi (nrm (vsub M' Mc)) <= theta * (Phi D + (D + eta * g - D) * (alpha_c - h * D))) by (apply Rmult_le_compat_l; lra).
    nra.
  - eapply Rle_trans; [exact De|]. rewrite !loss_nrm. fold rt. unfold rate, alpha. fold L theta. set (a := alpha_c - rho * h) in *.
    assert (a * rt <= g). { eapply Rle_trans; [|exact Hg]. now apply Rmult_le_compat_r. }
    assert (a * rt * (a * rt) <= g * g) by (apply Rmult_le_compat; try assumption; apply Rmult_le_pos; lra).
    assert (0 < eta * theta) by now apply Rmult_lt_0_compat. nra.
Qed.

Theorem theorem_A t :
  inside (gd eta Mc t) /\ loss (gd eta Mc (S t)) <= (1 - rate rho h alpha_c Lam Rc eta) * loss (gd eta Mc t).
Proof.
  assert (Inv : inside (gd eta Mc t) /\ theta * Phi (nrm (vsub (gd eta Mc t) Mc)) <= Rc - nrm (r (gd eta Mc t))).
  { induction t as [|t [B IH]]; simpl.
    - split; [now apply ball_centre|]. rewrite nrm_sub_self. unfold Phi. pose proof (residual_le _ _ _ _ _ _ CEN). lra.
    - destruct (invariant _ B IH) as (A1 & A2 & _). now split. }
  destruct Inv as [B I]. split; [exact B|]. now apply invariant.
Qed.

(* f(M_t) <= (1 - eta beta)^t f(M_c) for every beta with eta beta <= rate *)
Corollary theorem_A_claim beta : 0 <= 1 - eta * beta -> eta * beta <= rate rho h alpha_c Lam Rc eta ->
  forall t, loss (gd eta Mc t) <= (1 - eta * beta) ^ t * loss Mc.
Proof.
  intros Pb Hb. induction t as [|t IH]; [simpl; lra|].
  eapply Rle_trans; [apply theorem_A|]. pose proof (loss_pos (gd eta Mc t)).
  apply Rle_trans with ((1 - eta * beta) * loss (gd eta Mc t)).
  - apply Rmult_le_compat_r; [assumption|]. lra.
  - change ((1 - eta * beta) ^ S t) with ((1 - eta * beta) * (1 - eta * beta) ^ t).
    rewrite Rmult_assoc. now apply Rmult_le_compat_l.
Qed.
End Centre.

(* the condition as on paper is the stronger one *)
Lemma radius_plain rho h alpha_c Lam Rc eta : 0 <= rho -> 0 <= h ->
  0 < alpha rho h alpha_c -> 0 < eta -> eta * smoothness rho h Lam Rc < 2 ->
  Rc <= rho * alpha rho h alpha_c * (1 - eta * smoothness rho h Lam Rc / 2) -> closes rho h alpha_c Lam Rc eta.
Proof.
  intros P Ph A Pe S Q. constructor; auto. eapply Rle_trans; [exact Q|]. unfold alpha in *.
  apply Rmult_le_compat_r; [lra|]. apply Rmult_le_compat_l; [exact P|]. pose proof (Rmult_le_pos _ _ P Ph). lra.
Qed.

(** * Theorem P: any prefix, then Theorem A at its last point with the same step *)
Theorem theorem_P (M : nat -> E) T rho h alpha_c Lam Rc eta beta :
  jacobian -> centre (M T) rho h alpha_c Lam Rc -> closes rho h alpha_c Lam Rc eta ->
  0 <= 1 - eta * beta -> eta * beta <= rate rho h alpha_c Lam Rc eta ->
  (forall t, (t <= T)%nat -> loss (M t) <= (1 - eta * beta) ^ t * loss (M 0%nat)) ->
  (forall t, (T <= t)%nat -> M (S t) = step eta (M t)) ->
  forall t, loss (M t) <= (1 - eta * beta) ^ t * loss (M 0%nat).
Proof.
  intros JAC CEN CLO P B prefix tail t.
  destruct (Compare_dec.le_lt_dec t T) as [Le|Lt]; [now apply prefix|].
  replace t with (T + (t - T))%nat by lia. set (k := (t - T)%nat). clearbody k. clear t Lt.
  assert (GD : forall k, M (T + k)%nat = gd eta (M T) k).
  { induction k0 as [|k0 IH]; [simpl; f_equal; lia|]. rewrite PeanoNat.Nat.add_succ_r, tail, IH by lia. reflexivity. }
  rewrite GD, pow_add.
  eapply Rle_trans; [now apply (theorem_A_claim (M T) rho h alpha_c Lam Rc eta JAC CEN CLO beta)|].
  rewrite (Rmult_comm (_ ^ T)), Rmult_assoc. apply Rmult_le_compat_l; [now apply pow_le|]. apply prefix. lia.
Qed.

(** * Lemma 5 (Polyak-Lojasiewicz): |grad f|^2 >= 2 b f, and no larger constant serves for all labels *)
Lemma lemma_5 M b : (forall w, b * ip w w <= ip (Jt M w) (Jt M w)) -> 2 * b * loss M <= nrm (grad M) * nrm (grad M).
Proof. intro low. rewrite nrm_sqr. unfold loss, grad. pose proof (low (r M)). lra. Qed.
Lemma lemma_5_sharp M b w (F : G) : (forall F w : G, vsub F (vsub F w) = w) ->
  ip (Jt M w) (Jt M w) = b * ip w w ->
  exists y, let r := vsub F y in nrm (Jt M r) * nrm (Jt M r) = 2 * b * (/ 2 * ip r r).
Proof. intros back Q. exists (vsub F w). cbv zeta. rewrite back, nrm_sqr, Q. lra. Qed.
End TheoremA.
