(* Enclosing the exact orbit: one step of gradient descent (Lemma 1), the orbit beside any computed points (Theorem 2), the
   statement from M_0 for every t (Theorem 6, one ball) and the refutation (Corollary 7).
   Nothing is asked for beyond Theorem A's hypotheses: J need only be Lipschitz. *)
Require Import Reals Lra Psatz.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA.
Open Scope R_scope.

(* a function whose increments are at most A times the step, up to second order, grows by at most A on [0, 1] *)
Lemma slope_bound (f : R -> R) A C : 0 <= C ->
  (forall s s', 0 <= s -> s <= s' -> s' <= 1 -> f s' - f s <= A * (s' - s) + C * ((s' - s) * (s' - s))) -> f 1 - f 0 <= A.
Proof.
  intros PC Hf. apply Rnot_lt_le. intro Q. set (gap := f 1 - f 0 - A). assert (Pg : 0 < gap) by (unfold gap; lra).
  destruct (archimed_cor1 (gap / (C + 1))) as [n [Hn Pn]]; [apply Rdiv_lt_0_compat; lra|].
  assert (PN : 0 < INR n) by now apply lt_0_INR.
  assert (Ind : forall k, (k <= n)%nat -> f (INR k / INR n) - f 0 <= INR k * (A / INR n + C / (INR n * INR n))).
  { induction k as [|k IH]; intro Hk.
    - simpl. replace (0 / INR n) with 0 by (field; lra). lra.
    - assert (Hk' : INR k + 1 <= INR n) by (rewrite <- S_INR; now apply le_INR).
      assert (P1 : 0 <= INR k / INR n) by (apply Rmult_le_pos; [apply pos_INR | left; now apply Rinv_0_lt_compat]).
      assert (St : INR (S k) / INR n = INR k / INR n + / INR n) by (rewrite S_INR; field; lra).
      assert (Pi : 0 < / INR n) by now apply Rinv_0_lt_compat.
      assert (L1 : INR (S k) / INR n <= 1). { rewrite S_INR. apply Rmult_le_reg_r with (INR n); [exact PN|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra. }
      specialize (Hf (INR k / INR n) (INR (S k) / INR n) P1 ltac:(lra) L1). specialize (IH ltac:(lia)).
      replace (INR (S k) / INR n - INR k / INR n) with (/ INR n) in Hf by lra. rewrite S_INR at 2.
      replace ((INR k + 1) * (A / INR n + C / (INR n * INR n))) with (INR k * (A / INR n + C / (INR n * INR n)) + (A * / INR n + C * (/ INR n * / INR n))) by (field; lra). lra. }
  specialize (Ind n (le_n n)). replace (INR n / INR n) with 1 in Ind by (field; lra).
  replace (INR n * (A / INR n + C / (INR n * INR n))) with (A + C * / INR n) in Ind by (field; lra).
  assert (C * / INR n <= C * (gap / (C + 1))) by (apply Rmult_le_compat_l; lra).
  assert (C * (gap / (C + 1)) < gap). { replace (C * (gap / (C + 1))) with (gap - gap / (C + 1)) by (field; lra). assert (0 < gap / (C + 1)) by (apply Rdiv_lt_0_compat; lra). lra. }
  unfold gap in *. lra.
Qed.

Section Orbit.
Variables E G : ips.
Variable r : E -> G.
Variable J : E -> E -> G.
Variable Jt : E -> G -> E.
Hypothesis JAC : jacobian E G r J Jt.
Variable eta : R.
Hypothesis eta0 : 0 < eta.
Notation stepE := (step E G r Jt eta).
Notation lossE := (loss E G r).

(** * Lemma 1: one step, in the ball of radius eps around Mt *)
Section OneStep.
Variables (Mt : E) (eps h Lam R0 : R).
Record window : Prop := {
  w_eps : 0 <= eps;
  w_h : 0 <= h;
  w_lam : 0 <= Lam;
  w_curv : curvature E G J Mt eps h;
  w_jac : forall M v w, ball E Mt eps M -> Rabs (ip (J M v) w) <= Lam * nrm v * nrm w;     (* |J| <= Lambda *)
  w_res : forall M, ball E Mt eps M -> nrm (r M) <= R0 }.                                    (* |r| <= R *)
Hypothesis WIN : window.
Definition growth := Rmax 1 (eta * (Lam * Lam) - 1) + eta * R0 * h.
Let eps0 := w_eps WIN. Let h0 := w_h WIN. Let Lam0 := w_lam WIN.

Lemma J_norm M v : ball E Mt eps M -> nrm (J M v) <= Lam * nrm v.
Proof.
  intro HM. pose proof (w_jac WIN M v (J M v) HM) as B. apply Rabs_le_l in B. rewrite <- nrm_sqr in B.
  pose proof (nrm_pos _ (J M v)) as P. pose proof (nrm_pos _ v) as Pv. pose proof (Rmult_le_pos _ _ Lam0 Pv).
  destruct (Rle_lt_or_eq_dec 0 _ P) as [P'|P']; [|rewrite <- P'; assumption].
  apply Rmult_le_reg_r with (nrm (J M v)); [exact P'|]. lra.
Qed.
(* I - eta J'J does not expand by more than max(1, eta Lambda^2 - 1) *)
Lemma gauss_newton M v w : ball E Mt eps M -> Rabs (ip v w - eta * ip (J M v) (J M w)) <= Rmax 1 (eta * (Lam * Lam) - 1) * (nrm v * nrm w).
Proof.
  intro HM. apply (polarize E (fun v w => ip v w - eta * ip (J M v) (J M w))).
  - eapply Rle_trans; [|apply Rmax_l]. lra.
  - intros. rewrite !(adjoint E G r J Jt JAC), !ip_add. ring.
  - intros. rewrite !(adjoint E G r J Jt JAC), !ip_scal. ring.
  - intros. rewrite ip_sym, (ip_sym _ (J M x)). easy.
  - intro x. rewrite <- (nrm_sqr _ x), <- (nrm_sqr _ (J M x)). pose proof (J_norm M x HM) as B. pose proof (nrm_pos _ (J M x)) as P. pose proof (nrm_pos _ x) as Px.
    assert (S : nrm (J M x) * nrm (J M x) <= Lam * Lam * (nrm x * nrm x)).
    { replace (Lam * Lam * (nrm x * nrm x)) with (Lam * nrm x * (Lam * nrm x)) by ring. now apply Rmult_le_compat. }
    pose proof (sqr_pos (nrm (J M x))) as S0. pose proof (sqr_pos (nrm x)) as Sx.
    set (a := nrm (J M x) * nrm (J M x)) in *. set (b := nrm x * nrm x) in *.
    assert (0 <= eta * a) by (apply Rmult_le_pos; lra). assert (eta * a <= eta * (Lam * Lam * b)) by (apply Rmult_le_compat_l; lra).
    pose proof (Rmax_l 1 (eta * (Lam * Lam) - 1)) as M1. pose proof (Rmax_r 1 (eta * (Lam * Lam) - 1)) as M2.
    set (c := Rmax _ _) in *.
    assert (1 * b <= c * b) by (apply Rmult_le_compat_r; lra). assert ((eta * (Lam * Lam) - 1) * b <= c * b) by (apply Rmult_le_compat_r; lra).
    apply Rabs_le. lra.
Qed.

Section Chord.
Variable M : E.
Hypothesis HM : ball E Mt eps M.
Let e := vsub M Mt.
Let P s := vadd Mt (vscal s e).
Lemma P_in s : 0 <= s <= 1 -> ball E Mt eps (P s).
Proof. intro Hs. apply ball_convex; [exact Hs | exact HM | now apply ball_centre]. Qed.
Lemma P_dist s s' : s <= s' -> nrm (vsub (P s') (P s)) = (s' - s) * nrm e.
Proof.
  intro Hs. rewrite <- (Rabs_right (s' - s)) by lra. rewrite <- nrm_scal. apply nrm_ext. unfold P.
  rewrite ip_sub, !ip_sub_r. repeat rewrite ?ip_add, ?ip_scal, ?ip_add_r, ?ip_scal_r. rewrite (ip_sym _ e Mt). ring.
Qed.
(* r along the chord, tested with u *)
Lemma r_chord s s' u : 0 <= s -> s <= s' -> s' <= 1 -> exists c, s <= c <= s' /\ ip (r (P s')) u - ip (r (P s)) u = (s' - s) * ip (J (P c) e) u.
Proof.
  intros Hs Hss Hs'.
  destruct (MVT_gen (fun x => ip (r (P x)) u) s s' (fun x => ip (J (P x) e) u)) as [c [Hc Q]]; rewrite Rmin_left, Rmax_right in * by assumption.
  - intros x _. apply (derivative E G r J Jt JAC).
  - intros x _. apply derivable_continuous_pt. exists (ip (J (P x) e) u). apply is_derive_Reals, (derivative E G r J Jt JAC).
  - exists c. split; [exact Hc|]. rewrite Q. ring.
Qed.
Lemma r_move s s' : 0 <= s -> s <= s' -> s' <= 1 -> nrm (vsub (r (P s')) (r (P s))) <= (s' - s) * (Lam * nrm e).
Proof.
  intros Hs Hss Hs'. set (w := vsub (r (P s')) (r (P s))). destruct (r_chord s s' w Hs Hss Hs') as [c [Hc Q]].
  rewrite <- ip_sub in Q. fold w in Q. rewrite <- nrm_sqr in Q.
  pose proof (w_jac WIN (P c) e w (P_in c ltac:(lra))) as B. apply Rabs_le_l in B. pose proof (nrm_pos _ w) as Pw. pose proof (nrm_pos _ e) as Pe.
  destruct (Rle_lt_or_eq_dec 0 _ Pw) as [Pw'|Pw']; [|rewrite <- Pw'; repeat apply Rmult_le_pos; lra].
  apply Rmult_le_reg_r with (nrm w); [exact Pw'|]. rewrite Q.
  replace ((s' - s) * (Lam * nrm e) * nrm w) with ((s' - s) * (Lam * nrm e * nrm w)) by ring. apply Rmult_le_compat_l; lra.
Qed.

Theorem lemma_1 : nrm (vsub (stepE M) (stepE Mt)) <= growth * nrm (vsub M Mt).
Proof.
  set (w := vsub (stepE M) (stepE Mt)). fold e.
  pose proof (nrm_pos _ w) as Pw. pose proof (nrm_pos _ e) as Pe.
  assert (PR : 0 <= R0) by (eapply Rle_trans; [apply nrm_pos | apply (w_res WIN Mt); now apply ball_centre]).
  set (f := fun s => s * ip e w - eta * ip (r (P s)) (J (P s) w)).
  assert (P1 : P 1 = M) by apply (vseg E Mt M). assert (P0 : P 0 = Mt) by apply vadd_scal0.
  assert (F1 : f 1 - f 0 = nrm w * nrm w).
  { assert (Fw : nrm w * nrm w = ip (stepE M) w - ip (stepE Mt) w) by (rewrite nrm_sqr; apply ip_sub).
    assert (Fs : forall N, ip (stepE N) w = ip N w - eta * ip (r N) (J N w)).
    { intro N. unfold step, grad. rewrite ip_add, ip_scal, (ip_sym _ (Jt N (r N))), <- (adjoint E G r J Jt JAC), (ip_sym _ (J N w)). ring. }
    assert (Fe : ip e w = ip M w - ip Mt w) by apply ip_sub.
    rewrite Fw, !Fs. unfold f. rewrite P1, P0, Fe. ring. }
  assert (Ne : 0 <= nrm e * nrm w) by now apply Rmult_le_pos.
  assert (Key : f 1 - f 0 <= growth * (nrm e * nrm w)).
  { apply (slope_bound f _ (eta * (2 * (Lam * h * (nrm e * nrm e) * nrm w)))).
    - assert (0 <= Lam * h * (nrm e * nrm e) * nrm w) by (repeat apply Rmult_le_pos; assumption). apply Rmult_le_pos; lra.
    - intros s s' Hs Hss Hs'. set (a := s' - s). assert (Pa : 0 <= a) by (unfold a; lra).
      pose proof (P_in s ltac:(lra)) as Is. pose proof (P_in s' ltac:(lra)) as Is'.
      set (r0 := r (P s)). set (r1 := r (P s')). set (j0 := J (P s) w). set (j1 := J (P s') w).
      assert (Nj : nrm j0 <= Lam * nrm w) by (now apply J_norm).
      (* <r', J'w> - <r, Jw> = <r' - r, Jw> + <r, J'w - Jw> + <r' - r, J'w - Jw> *)
      assert (T1 : a * ip (J (P s) e) j0 - ip (vsub r1 r0) j0 <= a * a * (Lam * h * (nrm e * nrm e) * nrm w)).
      { destruct (r_chord s s' j0 Hs Hss Hs') as [c [Hc Q]]. fold a r0 r1 in Q. rewrite ip_sub, Q.
        pose proof (w_curv WIN (P c) (P s) e j0 (P_in c ltac:(lra)) Is) as B. rewrite P_dist in B by lra. apply Rabs_le_l in B.
        assert (S : ip (J (P s) e) j0 - ip (J (P c) e) j0 <= a * (Lam * h * (nrm e * nrm e) * nrm w)).
        { apply Rle_trans with (h * ((c - s) * nrm e) * nrm e * nrm j0); [lra|].
          replace (a * (Lam * h * (nrm e * nrm e) * nrm w)) with (h * (a * nrm e) * nrm e * (Lam * nrm w)) by ring.
          assert (0 <= (c - s) * nrm e) by (apply Rmult_le_pos; lra). assert ((c - s) * nrm e <= a * nrm e) by (apply Rmult_le_compat_r; unfold a; lra).
          apply Rmult_le_compat; [repeat apply Rmult_le_pos; try assumption; lra | apply nrm_pos | | exact Nj].
          apply Rmult_le_compat_r; [exact Pe|]. now apply Rmult_le_compat_l. }
        pose proof (Rmult_le_compat_l a _ _ Pa S). lra. }
      assert (Jd : nrm (vsub j1 j0) <= h * (a * nrm e) * nrm w).
      { set (z := vsub j1 j0). pose proof (w_curv WIN (P s') (P s) w z Is' Is) as B. rewrite P_dist in B by lra. fold a j0 j1 in B.
        rewrite <- ip_sub in B. fold z in B. rewrite <- nrm_sqr in B. apply Rabs_le_l in B. pose proof (nrm_pos _ z) as Pz.
        assert (0 <= h * (a * nrm e) * nrm w) by (repeat apply Rmult_le_pos; assumption).
        destruct (Rle_lt_or_eq_dec 0 _ Pz) as [Pz'|Pz']; [|rewrite <- Pz'; assumption].
        apply Rmult_le_reg_r with (nrm z); [exact Pz'|]. lra. }
      assert (T2 : - ip r0 (vsub j1 j0) <= a * (R0 * h * (nrm e * nrm w))).
      { pose proof (cauchy_schwarz _ r0 (vsub j1 j0)) as CS. apply Rabs_le_l in CS. pose proof (w_res WIN (P s) Is) as Rs. fold r0 in Rs.
        assert (nrm r0 * nrm (vsub j1 j0) <= R0 * (h * (a * nrm e) * nrm w)) by (apply Rmult_le_compat; auto using nrm_pos).
        replace (a * (R0 * h * (nrm e * nrm w))) with (R0 * (h * (a * nrm e) * nrm w)) by ring. lra. }
      assert (T3 : - ip (vsub r1 r0) (vsub j1 j0) <= a * a * (Lam * h * (nrm e * nrm e) * nrm w)).
      { pose proof (cauchy_schwarz _ (vsub r1 r0) (vsub j1 j0)) as CS. apply Rabs_le_l in CS. pose proof (r_move s s' Hs Hss Hs') as Rm. fold a r0 r1 in Rm.
        assert (nrm (vsub r1 r0) * nrm (vsub j1 j0) <= a * (Lam * nrm e) * (h * (a * nrm e) * nrm w)) by (apply Rmult_le_compat; auto using nrm_pos).
        replace (a * a * (Lam * h * (nrm e * nrm e) * nrm w)) with (a * (Lam * nrm e) * (h * (a * nrm e) * nrm w)) by ring. lra. }
      pose proof (gauss_newton (P s) e w Is) as GN. apply Rabs_le_l in GN. fold j0 in GN.
      assert (Id : f s' - f s = a * ip e w - eta * (ip (vsub r1 r0) j0 + ip r0 (vsub j1 j0) + ip (vsub r1 r0) (vsub j1 j0))).
      { unfold f. fold r0 r1 j0 j1. rewrite !ip_sub, !ip_sub_r. unfold a. ring. }
      rewrite Id. unfold growth. set (c := Rmax _ _) in *.
      pose proof (Rmult_le_compat_l a _ _ Pa (proj2 GN)) as G1.
      assert (S : - (ip (vsub r1 r0) j0 + ip r0 (vsub j1 j0) + ip (vsub r1 r0) (vsub j1 j0))
         <= - (a * ip (J (P s) e) j0) + a * (R0 * h * (nrm e * nrm w)) + 2 * (a * a * (Lam * h * (nrm e * nrm e) * nrm w))) by lra.
      pose proof (Rmult_le_compat_l eta _ _ (Rlt_le _ _ eta0) S) as G2. lra. }
  rewrite F1 in Key. destruct (Rle_lt_or_eq_dec 0 _ Pw) as [Pw'|Pw'].
  - apply Rmult_le_reg_r with (nrm w); [exact Pw'|]. lra.
  - rewrite <- Pw'. assert (0 <= growth).
    { unfold growth. pose proof (Rmax_l 1 (eta * (Lam * Lam) - 1)). assert (0 <= eta * R0 * h) by (repeat apply Rmult_le_pos; lra). lra. }
    now apply Rmult_le_pos.
Qed.
(* |r(M) - r(Mt)| <= Lambda |M - Mt| *)
Lemma residual_near : Rabs (nrm (r M) - nrm (r Mt)) <= Lam * nrm (vsub M Mt).
Proof.
  eapply Rle_trans; [apply nrm_diff|]. pose proof (r_move 0 1 ltac:(lra) ltac:(lra) ltac:(lra)) as Q. unfold P in Q.
  rewrite vadd_scal0 in Q. unfold e in Q.
  assert (S : vadd Mt (vscal 1 (vsub M Mt)) = M) by apply vseg. rewrite S in Q. lra.
Qed.
End Chord.
End OneStep.

(** * Theorem 2 *)
Section Enclosure.
Variable M0 : E.
Variable Mt : nat -> E.                      (* computed points *)
Variables eps delta h Lam R0 : nat -> R.
Variable T : nat.
Hypothesis start : Mt 0%nat = M0.
Hypothesis eps_start : 0 <= eps 0%nat.
Hypothesis windows : forall t, (t <= T)%nat -> window (Mt t) (eps t) (h t) (Lam t) (R0 t).
Hypothesis computed : forall t, (t < T)%nat -> nrm (vsub (stepE (Mt t)) (Mt (S t))) <= delta t.
Hypothesis grows : forall t, (t < T)%nat -> growth (h t) (Lam t) (R0 t) * eps t + delta t <= eps (S t).
Notation M := (gd E G r Jt eta M0).

Theorem orbit_enclosed t : (t <= T)%nat -> ball E (Mt t) (eps t) (M t).
Proof.
  induction t as [|t IH]; intro Ht.
  - simpl. rewrite start. now apply ball_centre.
  - specialize (IH ltac:(lia)). unfold ball in *. cbn [gd].
    eapply Rle_trans; [apply (nrm_sub_triangle _ _ (stepE (Mt t)))|]. eapply Rle_trans; [|apply grows; lia].
    apply Rplus_le_compat; [|apply computed; lia].
    eapply Rle_trans; [apply (lemma_1 (Mt t) (eps t) (h t) (Lam t) (R0 t) (windows t ltac:(lia)) (M t) IH)|].
    apply Rmult_le_compat_l; [|exact IH]. pose proof (windows t ltac:(lia)) as W.
    assert (PR : 0 <= R0 t) by (eapply Rle_trans; [apply nrm_pos | apply (w_res _ _ _ _ _ W (Mt t)), ball_centre, (w_eps _ _ _ _ _ W)]).
    pose proof (w_h _ _ _ _ _ W). unfold growth. pose proof (Rmax_l 1 (eta * (Lam t * Lam t) - 1)). assert (0 <= eta * R0 t * h t) by (repeat apply Rmult_le_pos; lra). lra.
Qed.
Theorem orbit_residual t : (t <= T)%nat -> Rabs (nrm (r (M t)) - nrm (r (Mt t))) <= Lam t * eps t.
Proof.
  intro Ht. pose proof (orbit_enclosed t Ht) as B. pose proof (windows t Ht) as W.
  eapply Rle_trans; [apply (residual_near _ _ _ _ _ W _ B)|]. apply Rmult_le_compat_l; [apply (w_lam _ _ _ _ _ W) | exact B].
Qed.

(** * Corollary 7: refutation *)
Corollary orbit_refutes t beta : (t <= T)%nat ->
  / 2 * (Rmax 0 (nrm (r (Mt t)) - Lam t * eps t) * Rmax 0 (nrm (r (Mt t)) - Lam t * eps t)) > (1 - eta * beta) ^ t * (/ 2 * (nrm (r M0) * nrm (r M0))) ->
  lossE (M t) > (1 - eta * beta) ^ t * lossE M0.
Proof.
  intros Ht Q. rewrite !loss_nrm. eapply Rge_gt_trans; [|exact Q]. apply Rle_ge, Rmult_le_compat_l; [lra|].
  pose proof (orbit_residual t Ht) as B. apply Rabs_le_l in B. pose proof (nrm_pos _ (r (M t))).
  apply Rmult_le_compat; try apply Rmax_l; apply Rmax_lub; lra.
Qed.

(** * Theorem 6, one ball *)
Variables (C : E) (e rho hC alpha_c LamC RC beta : R).
Hypothesis e0 : 0 <= e.
Hypothesis rho0 : 0 <= rho.
Hypothesis near : nrm (vsub (M T) C) <= e.
Hypothesis at_C : centre E G r J Jt C (rho + e) hC alpha_c LamC RC.

(* what is known at C says as much at M_T, with e to spare *)
Lemma recentre : centre E G r J Jt (M T) rho hC (alpha_c - hC * e) (LamC + hC * e) (RC + (LamC + hC * e) * e).
Proof.
  pose proof (h_pos _ _ _ _ _ _ _ _ _ _ _ at_C) as Ph. pose proof (lam_pos _ _ _ _ _ _ _ _ _ _ _ at_C) as Pl.
  assert (Phe : 0 <= hC * e) by now apply Rmult_le_pos.
  assert (In : forall N, ball E (M T) rho N -> ball E C (rho + e) N).
  { intros N HN. unfold ball in *. eapply Rle_trans; [apply (nrm_sub_triangle _ _ (M T))|]. lra. }
  assert (InT : ball E C (rho + e) (M T)) by (apply In; now apply ball_centre).
  assert (D : hC * nrm (vsub (M T) C) <= hC * e) by now apply Rmult_le_compat_l.
  assert (at_e : centre E G r J Jt C e hC alpha_c LamC RC).
  { destruct at_C as [? ? CV ? ? ? ?]. constructor; auto. intros N N' v w HN HN'. apply CV; unfold ball in *; lra. }
  constructor; try assumption; try lra.
  - intros N N' v w HN HN'. apply (curved _ _ _ _ _ _ _ _ _ _ _ at_C); now apply In.
  - intro w. eapply Rle_trans; [|apply (sigma_at E G r J Jt C (rho + e) hC alpha_c LamC RC JAC at_C (M T) w InT)].
    apply Rmult_le_compat_r; [apply nrm_pos|]. lra.
  - intros v w. eapply Rle_trans; [apply (jac_at E G r J Jt C (rho + e) hC alpha_c LamC RC at_C (M T) v w InT)|].
    repeat (apply Rmult_le_compat_r; [apply nrm_pos|]). lra.
  - pose proof (residual_lipschitz E G r J Jt C e hC alpha_c LamC RC JAC at_e C (vsub (M T) C) 1 ltac:(lra)) as L.
    assert (S : vadd C (vscal 1 (vsub (M T) C)) = M T) by apply vseg. rewrite S in L.
    assert (L' : nrm (vsub (r (M T)) (r C)) <= 1 * ((LamC + e * hC) * nrm (vsub (M T) C))).
    { apply L. intros x Hx. apply ball_convex; [exact Hx | exact near | now apply ball_centre]. }
    pose proof (nrm_diff _ (r (M T)) (r C)) as Nd. apply Rabs_le_l in Nd. pose proof (residual_le _ _ _ _ _ _ _ _ _ _ _ at_C) as Rl.
    assert ((LamC + e * hC) * nrm (vsub (M T) C) <= (LamC + e * hC) * e) by (apply Rmult_le_compat_l; lra). lra.
Qed.

Hypothesis small : 0 <= 1 - eta * beta.
Hypothesis prefix : forall t, (1 <= t <= T)%nat ->
  / 2 * ((nrm (r (Mt t)) + Lam t * eps t) * (nrm (r (Mt t)) + Lam t * eps t)) <= (1 - eta * beta) ^ t * (/ 2 * (nrm (r M0) * nrm (r M0))).
Hypothesis tail : closes rho hC (alpha_c - hC * e) (LamC + hC * e) (RC + (LamC + hC * e) * e) eta.
Hypothesis tail_rate : eta * beta <= rate rho hC (alpha_c - hC * e) (LamC + hC * e) (RC + (LamC + hC * e) * e) eta.

Theorem theorem_6 t : lossE (M t) <= (1 - eta * beta) ^ t * lossE M0.
Proof.
  apply (theorem_P E G r J Jt M T rho hC _ _ _ eta beta JAC recentre tail small tail_rate); [|reflexivity].
  intros s Hs. cbn [gd]. destruct s as [|s]; [simpl; lra|]. rewrite !loss_nrm. eapply Rle_trans; [|apply prefix; lia].
  apply Rmult_le_compat_l; [lra|]. pose proof (orbit_residual (S s) Hs) as B. apply Rabs_le_l in B. pose proof (nrm_pos _ (r (M (S s)))).
  apply Rmult_le_compat; lra.
Qed.
End Enclosure.
End Orbit.
