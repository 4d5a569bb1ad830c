(* check : instance -> certificate -> bool, and its soundness: if it computes to true, exact gradient descent on the instance
   obeys f_t <= (1 - eta beta)^t f_0 for every t.  Ball form of Theorem A, closed form of h (Proposition 6). *)
Require Import Reals Lra Psatz List ZArith Bool.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model Intervals Instances.
Import ListNotations.
Open Scope R_scope.

Record certificate := Certificate {
  c_Q : bool; c_K : bool; c_V : bool;                                (* trained blocks *)
  c_rho : dyad; c_h : dyad; c_alpha : dyad; c_Lam : dyad; c_R : dyad; c_eta : dyad; c_beta : dyad;
  (* helpers, found by the exporter: upper bounds of max_j |x_j| (i), max_j |kappa_j| and max_j |u_j| (i, h), max_h b_ikh (i, k), and F *)
  c_xi : list dyad; c_kap : list (list dyad); c_ups : list (list dyad); c_b : list (list dyad); c_bits : Z }.

Section Check.
Variable prec : Intervals.F.precision.   (* of everything but the singular values' elimination, *)
Variable fine : Intervals.F.precision.   (* which loses bits with every row *)
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
Variable c : certificate.
Notation N := (q_N q). Notation n := (q_n q). Notation D := (q_D q). Notation d := (q_d q). Notation H := (q_H q). Notation p := (q_p q).
Notation m := (the_model q).
Notation W0 := (the_weights q).
Notation tokens := (seq 0 n).
Definition tr := trained (c_Q c) (c_K c) (c_V c).
Definition weights (bl : block) : table := map3 v (match bl with Q => q_Q q | K => q_K q | V => q_V q end).
(* vectors' norms *)
Definition inorm k (u : nat -> I.type) := I.sqrt prec (isum (seq 0 k) (fun b => u b *! u b)).
Definition at_i i := nth i (c_xi c) dzero.
Definition on bl := int (if tr bl then 1 else 0).

Section B6.
Variables sd rho x xi o kap ups qn : I.type.
Definition e_b6 : I.type :=
  let xQ := on Q *! x in let xK := on K *! xi in let oV := on V *! xi *! o in
  let qb := qn +! xQ *! rho in let kb := kap +! xK *! rho in let ub := ups +! oV *! rho in
  match q_kernel q with
  | Softmax => let a := I.sqrt prec ((xQ *! kb) *! (xQ *! kb) +! (xK *! qb) *! (xK *! qb)) /! sd in
      int 2 *! ub *! (a *! a) +! xQ *! xK *! ub /! sd +! a *! oV
  | Gaussian => let g := I.sqrt prec (xQ *! xQ +! xK *! xK) in
      int (Z.of_nat n) *! ((int 2 /! I.exp prec (int 1) +! int 1) /! sd *! (g *! g) *! ub
        +! I.exp prec (I.neg (int 1 /! int 2)) /! I.sqrt prec sd *! g *! oV)
  end.
End B6.

Definition check : bool :=
  let lX := map3 v (q_X q) in let ly := map3 v (q_y q) in let lO := map3 v (q_O q) in
  let X := get3 zero lX in
  let Wl := let lQ := weights Q in let lK := weights K in let lV := weights V in fun bl => match bl with Q => lQ | K => lK | V => lV end in
  let t := eval prec q lX ly lO Wl in
  let rho := v (c_rho c) in let h := v (c_h c) in let ac := v (c_alpha c) in let Lam := v (c_Lam c) in
  let Rc := v (c_R c) in let eta := v (c_eta c) in let beta := v (c_beta c) in
  let one := int 1 in let two := int 2 in
  let xi i := v (nth i (c_xi c) dzero) in let kap i h := v (get2 dzero (c_kap c) i h) in
  let ups i h := v (get2 dzero (c_ups c) i h) in let bm i k := v (get2 dzero (c_b c) i k) in
  let x := memo2 N n (fun i k => inorm D (X i k)) in
  let o := memo H (fun h => I.sqrt prec (isum (seq 0 d) (fun b => isum (seq 0 p) (fun c => get3 zero lO h b c *! get3 zero lO h b c)))) in
  let alpha := ac -! rho *! h in
  let L := (Lam +! rho *! h) *! (Lam +! rho *! h) +! Rc *! h in
  let th := one -! eta *! L /! two in
  let ik := list_prod (seq 0 N) tokens in let hs := seq 0 H in
  Nat.ltb 0 d && Nat.ltb 0 n
  && nonneg rho && nonneg h && nonneg Lam && nonneg Rc && posb eta
  && posb alpha && posb (two -! eta *! L)
  && nonneg (rho *! (ac -! rho *! h /! two) *! th -! Rc)
  && nonneg (two *! eta *! (alpha *! alpha) *! th -! eta *! beta)
  && nonneg (one -! eta *! beta)
  && nonneg (Rc *! Rc -! isum (outs m) (fun '(i, k, c) => let r := t_res t i k c in r *! r))
  && forallb (fun '(i, k) => nonneg (xi i -! x i k) && forallb (fun h => nonneg (kap i h -! inorm d (t_proj t K i k h))
       && nonneg (ups i h -! inorm p (t_value t i k h))) hs) ik
  && forallb (fun '(i, k) => nonneg (bm i k)
       && forallb (fun h => nonneg (bm i k -! e_b6 (t_sd t) rho (x i k) (xi i) (o h) (kap i h) (ups i h) (inorm d (t_proj t Q i k h)))) hs) ik
  && nonneg (h *! h -! isum ik (fun '(i, k) => bm i k *! bm i k))
  && sigma_ok fine (c_bits c) (outs m) (params m tr) (e_entry prec q lX lO t) ac Lam.

(** Soundness *)
Lemma c_inorm k u ur : (forall b, cont (u b) (ur b)) -> cont (inorm k u) (enorm k ur).
Proof. intro Hu. apply csqrt; [apply lsum_pos; intros; apply sqr_pos|]. apply csum. intros. now apply cmul. Qed.

Theorem check_sound : check = true -> forall W, descent m tr (dval (c_eta c)) W0 W ->
  forall t, f m (W t) <= (1 - dval (c_eta c) * dval (c_beta c)) ^ t * f m (W 0%nat).
Proof.
  intros C W Ds.
  unfold check in C. cbv zeta in C.
  set (lX := map3 v (q_X q)) in *. set (ly := map3 v (q_y q)) in *. set (lO := map3 v (q_O q)) in *.
  set (Wl := fun bl : block => match bl with Q => weights Q | K => weights K | V => weights V end) in *.
  set (T := eval prec q lX ly lO Wl) in *.
  repeat (apply andb_prop in C; let C' := fresh "C" in destruct C as [C C']).
  apply Nat.ltb_lt in C. apply Nat.ltb_lt in C15. rename C into d_pos. rename C15 into n_pos.
  assert (cX : forall i k a, cont (get3 zero lX i k a) (X m i k a)) by (intros; apply cget3).
  assert (cy : forall i k a, cont (get3 zero ly i k a) (y m i k a)) by (intros; apply cget3).
  assert (cO : forall i k a, cont (get3 zero lO i k a) (WO m i k a)) by (intros; apply cget3).
  assert (cW : forall bl h a b, cont (get3 zero (Wl bl) h a b) (W0 (bl, h, a, b))) by (intros [] h a b; apply cget3).
  pose proof (c_proj prec q lX ly lO Wl cX W0 cW) as Cproj. fold T in Cproj.
  pose proof (c_value prec q lX ly lO Wl cX cO W0 cW) as Cvalue. fold T in Cvalue.
  pose proof (c_res prec q lX ly lO Wl d_pos n_pos cX cy cO W0 cW) as Cres. fold T in Cres.
  pose proof (c_entry prec q lX ly lO Wl d_pos n_pos cX cO W0 cW) as Centry. fold T in Centry.
  pose proof (csd prec q lX ly lO Wl) as Csd. fold T in Csd.
  set (rho := dval (c_rho c)). set (hb := dval (c_h c)). set (ac := dval (c_alpha c)). set (Lam := dval (c_Lam c)).
  set (Rc := dval (c_R c)). set (eta := dval (c_eta c)) in *. set (beta := dval (c_beta c)).
  assert (Crho : cont (v (c_rho c)) rho) by apply cdv. assert (Chb : cont (v (c_h c)) hb) by apply cdv.
  assert (Cac : cont (v (c_alpha c)) ac) by apply cdv. assert (CLam : cont (v (c_Lam c)) Lam) by apply cdv.
  assert (CRc : cont (v (c_R c)) Rc) by apply cdv. assert (Ceta : cont (v (c_eta c)) eta) by apply cdv.
  assert (Cbeta : cont (v (c_beta c)) beta) by apply cdv. assert (One := cZ prec 1). assert (Two := cZ prec 2).
  pose proof (nonneg_ok _ _ Crho C14) as Prho. pose proof (nonneg_ok _ _ Chb C13) as Phb.
  pose proof (nonneg_ok _ _ CLam C12) as PLam. pose proof (nonneg_ok _ _ CRc C11) as PRc. pose proof (posb_ok _ _ Ceta C10) as Peta.
  (* conditions *)
  assert (Calpha : cont (v (c_alpha c) -! v (c_rho c) *! v (c_h c)) (alpha rho hb ac)) by (apply csub; [exact Cac | now apply cmul]).
  assert (CL : cont ((v (c_Lam c) +! v (c_rho c) *! v (c_h c)) *! (v (c_Lam c) +! v (c_rho c) *! v (c_h c)) +! v (c_R c) *! v (c_h c)) (smoothness rho hb Lam Rc)).
  { apply cadd; [|now apply cmul]. apply cmul; (apply cadd; [exact CLam | now apply cmul]). }
  set (Li := (v (c_Lam c) +! v (c_rho c) *! v (c_h c)) *! (v (c_Lam c) +! v (c_rho c) *! v (c_h c)) +! v (c_R c) *! v (c_h c)) in *.
  assert (Cth : cont (int 1 -! v (c_eta c) *! Li /! int 2) (1 - eta * smoothness rho hb Lam Rc / 2)).
  { apply csub; [exact One|]. apply cdiv; [lra | now apply cmul | exact Two]. }
  assert (CLO : closes rho hb ac Lam Rc eta).
  { constructor.
    - exact (posb_ok _ _ Calpha C9).
    - exact Peta.
    - apply Rminus_lt_0. eapply posb_ok; [|exact C8]. apply csub; [exact Two | now apply cmul].
    - apply Rminus_le_0. eapply nonneg_ok; [|exact C7]. apply csub; [|exact CRc]. apply cmul; [|exact Cth].
      apply cmul; [exact Crho|]. apply csub; [exact Cac|]. apply cdiv; [lra | now apply cmul | exact Two]. }
  assert (Rate : eta * beta <= rate rho hb ac Lam Rc eta).
  { apply Rminus_le_0. eapply nonneg_ok; [|exact C6]. apply csub; [|now apply cmul]. apply cmul; [|exact Cth].
    apply cmul; [now apply cmul | now apply cmul]. }
  assert (Small : 0 <= 1 - eta * beta) by (eapply nonneg_ok; [|exact C5]; apply csub; [exact One | now apply cmul]).
  (* norms *)
  set (x := fun i k => enorm D (X m i k)). set (xi := fun i => dval (nth i (c_xi c) dzero)).
  set (kap := fun i h => dval (get2 dzero (c_kap c) i h)). set (ups := fun i h => dval (get2 dzero (c_ups c) i h)).
  set (bm := fun i k => dval (get2 dzero (c_b c) i k)). set (qn := fun i k h => enorm d (proj m Q W0 i k h)).
  set (o := fun h => sqrt (lsum (seq 0 d) (fun b => lsum (seq 0 p) (fun c => WO m h b c * WO m h b c)))).
  assert (Cx : forall i k, cont (memo2 N n (fun i k => inorm D (get3 zero lX i k)) i k) (x i k)) by (intros; rewrite memo2_eq; now apply c_inorm).
  assert (Co : forall h, cont (memo H (fun h => I.sqrt prec (isum (seq 0 d) (fun b => isum (seq 0 p) (fun c => get3 zero lO h b c *! get3 zero lO h b c)))) h) (o h)).
  { intro h. rewrite memo_eq. apply csqrt; [apply lsum_pos; intros; apply lsum_pos; intros; apply sqr_pos|].
    apply csum. intros b _. apply csum. intros. now apply cmul. }
  assert (Bx : forall i k, In i (seq 0 N) -> In k tokens -> x i k <= xi i /\ forall h, In h (seq 0 H) ->
      enorm d (proj m K W0 i k h) <= kap i h /\ enorm p (fun c => value m W0 i k h c) <= ups i h).
  { intros i k Hi Hk. rewrite forallb_forall in C3. specialize (C3 (i, k) (in_prod _ _ _ _ Hi Hk)). cbv beta iota in C3.
    apply andb_prop in C3. destruct C3 as [A1 A2]. split.
    - apply Rminus_le_0. eapply nonneg_ok; [|exact A1]. apply csub; [apply cdv | apply Cx].
    - intros h Hh. rewrite forallb_forall in A2. specialize (A2 h Hh). apply andb_prop in A2. destruct A2 as [A2 A3]. split.
      + apply Rminus_le_0. eapply nonneg_ok; [|exact A2]. apply csub; [apply cdv|]. apply c_inorm. intro. apply Cproj.
      + apply Rminus_le_0. eapply nonneg_ok; [|exact A3]. apply csub; [apply cdv|]. apply c_inorm. intro. apply Cvalue. }
  assert (NO : norms m tr W0 W0 rho x xi o kap ups qn).
  { constructor.
    - exact Prho.
    - intros. unfold x. simpl. lra.
    - intros i k Hi Hk. exact (proj1 (Bx i k Hi Hk)).
    - (* |W^O_h w| <= |W^O_h|_F |w| *)
      intros h w Hh. apply sqrt_le_sqr; [apply Rmult_le_pos; apply sqrt_pos|].
      replace (o h * enorm (np m) w * (o h * enorm (np m) w)) with ((o h * o h) * (enorm (np m) w * enorm (np m) w)) by ring.
      unfold o. rewrite sqrt_sqrt, enorm_sqr by (apply lsum_pos; intros; apply lsum_pos; intros; apply sqr_pos).
      rewrite <- lsum_scal_r. apply lsum_le. intros b _.
      exact (cauchy_schwarz_sqr (Rl (seq 0 (np m))) (fun c => WO m h b c) w).
    - intros. apply sqrt_pos.
    - intros i j h Hi Hj Hh. rewrite full_W0. exact (proj1 (proj2 (Bx i j Hi Hj) h Hh)).
    - intros i k h Hi Hk Hh. rewrite full_W0. unfold qn. simpl. lra.
    - intros i j h Hi Hj Hh. rewrite full_W0. exact (proj2 (proj2 (Bx i j Hi Hj) h Hh)). }
  assert (Bm : forall i k, In i (seq 0 N) -> In k tokens -> 0 <= bm i k /\ forall h, In h (seq 0 H) -> b6 m tr rho x xi o kap ups qn i k h <= bm i k).
  { intros i k Hi Hk. rewrite forallb_forall in C2. specialize (C2 (i, k) (in_prod _ _ _ _ Hi Hk)). cbv beta iota in C2.
    apply andb_prop in C2. destruct C2 as [A1 A2]. split; [eapply nonneg_ok; [apply cdv | exact A1]|].
    intros h Hh. rewrite forallb_forall in A2. specialize (A2 h Hh).
    apply Rminus_le_0. eapply nonneg_ok; [|exact A2]. apply csub; [apply cdv|].
    pose proof (sd_pos m d_pos) as Sd. change (nd m) with d in Sd.
    assert (On : forall bl, cont (on bl) (i1 tr bl)) by (intro bl; unfold on, i1; destruct (tr bl); apply cZ).
    assert (Pn : forall bl, 0 <= i1 tr bl) by (intro bl; destruct (i1_cases tr bl) as [-> | ->]; lra).
    assert (CQ : cont (inorm d (t_proj T Q i k h)) (qn i k h)) by (apply c_inorm; intro; apply Cproj).
    specialize (Cx i k). specialize (Co h). assert (Cxi : cont (v (nth i (c_xi c) dzero)) (xi i)) by apply cdv.
    assert (Ck : cont (v (get2 dzero (c_kap c) i h)) (kap i h)) by apply cdv. assert (Cu : cont (v (get2 dzero (c_ups c) i h)) (ups i h)) by apply cdv.
    unfold e_b6, b6, row_b, soft_b, soft_a, gauss_b, gauss_1, gauss_2, gauss_g. change (kern m) with (q_kernel q). change (nd m) with d. change (nn m) with n.
    destruct (q_kernel q).
    - assert (CA : cont (I.sqrt prec ((on Q *! memo2 N n (fun i k => inorm D (get3 zero lX i k)) i k *! (v (get2 dzero (c_kap c) i h) +! on K *! v (nth i (c_xi c) dzero) *! v (c_rho c))) *! (on Q *! memo2 N n (fun i k => inorm D (get3 zero lX i k)) i k *! (v (get2 dzero (c_kap c) i h) +! on K *! v (nth i (c_xi c) dzero) *! v (c_rho c)))
         +! (on K *! v (nth i (c_xi c) dzero) *! (inorm d (t_proj T Q i k h) +! on Q *! memo2 N n (fun i k => inorm D (get3 zero lX i k)) i k *! v (c_rho c))) *! (on K *! v (nth i (c_xi c) dzero) *! (inorm d (t_proj T Q i k h) +! on Q *! memo2 N n (fun i k => inorm D (get3 zero lX i k)) i k *! v (c_rho c)))) /! t_sd T)
        (sqrt (i1 tr Q * x i k * (kap i h + i1 tr K * xi i * rho) * (i1 tr Q * x i k * (kap i h + i1 tr K * xi i * rho))
          + i1 tr K * xi i * (qn i k h + i1 tr Q * x i k * rho) * (i1 tr K * xi i * (qn i k h + i1 tr Q * x i k * rho))) / sqrt (INR d))).
      { apply cdiv; [lra | | exact Csd]. apply csqrt; [apply Rplus_le_le_0_compat; apply sqr_pos|].
        repeat (first [apply cadd | apply cmul]); auto. }
      repeat (first [apply cadd | apply cmul | exact CA | apply cdiv; [lra | | exact Csd]]); auto.
    - assert (CG : cont (I.sqrt prec (on Q *! memo2 N n (fun i k => inorm D (get3 zero lX i k)) i k *! (on Q *! memo2 N n (fun i k => inorm D (get3 zero lX i k)) i k)
          +! on K *! v (nth i (c_xi c) dzero) *! (on K *! v (nth i (c_xi c) dzero))))
        (sqrt (i1 tr Q * x i k * (i1 tr Q * x i k) + i1 tr K * xi i * (i1 tr K * xi i)))).
      { apply csqrt; [apply Rplus_le_le_0_compat; apply sqr_pos|]. repeat (first [apply cadd | apply cmul]); auto. }
      rewrite seq_length, INR_IZR_INZ.
      apply cmul; [apply cZ|]. apply cadd.
      + apply cmul; [|repeat (first [apply cadd | apply cmul]); auto]. apply cmul; [|now apply cmul].
        apply cdiv; [lra | | exact Csd]. apply cadd; [|exact One]. apply cdiv; [pose proof (exp_pos 1); lra | exact Two | apply cexp, One].
      + apply cmul; [|repeat (first [apply cadd | apply cmul]); auto]. apply cmul; [|exact CG].
        pose proof (sqrt_lt_R0 _ Sd). apply cdiv; [lra | | apply csqrt; [lra | exact Csd]].
        apply cexp, cneg. replace (/ 2) with (1 / 2) by field. apply cdiv; [lra | exact One | exact Two]. }
  destruct (sigma_sound fine (c_bits c) (outs m) (params m tr) (e_entry prec q lX lO T) (fun o r => entry m W0 o r)
    (fun o r _ _ => Centry o r) (v (c_alpha c)) (v (c_Lam c)) ac Lam Cac CLam C0) as [Pac Sig].
  (* outside the range of (i, k), b is never used *)
  set (bm' := fun i k => Rabs (bm i k)).
  apply (model_converges m d_pos n_pos tr W0 rho x xi o kap ups qn bm' hb ac Lam Rc eta beta NO); try assumption.
  - intros. apply Rabs_pos.
  - intros i k h Hi Hk Hh. eapply Rle_trans; [exact (proj2 (Bm i k Hi Hk) h Hh) | apply Rle_abs].
  - apply Rminus_le_0. eapply nonneg_ok; [|exact C1]. apply csub; [now apply cmul|].
    rewrite (lsum_ext _ _ (fun ik => bm (fst ik) (snd ik) * bm (fst ik) (snd ik))).
    2:{ intro. unfold bm'. rewrite <- Rabs_mult. apply Rabs_right, Rle_ge, sqr_pos. }
    apply csum. intros [i k] _. apply cmul; apply cdv.
  - intro w. exact (proj1 (Sig w)).
  - intro w. exact (proj2 (Sig w)).
  - apply Rminus_le_0. eapply nonneg_ok; [|exact C4]. apply csub; [now apply cmul|]. apply csum. intros [[i k] cc] _. apply cmul; apply Cres.
Qed.
End Check.
