(* Real inner-product spaces as they are needed here, finite sums, and R^I.
   No completeness, finite dimension or definiteness is asked for: a semi-inner product is enough. *)
Require Import Reals Lra Psatz List Arith FinFun FunctionalExtensionality.
From Coquelicot Require Import Coquelicot.
Import ListNotations.
Open Scope R_scope.

(** * Spaces *)

Record ips := Ips {
  car :> Type;
  vadd : car -> car -> car;
  vscal : R -> car -> car;
  ip : car -> car -> R;
  vadd_scal0 : forall x y, vadd x (vscal 0 y) = x;
  vscal_scal : forall a b x, vscal a (vscal b x) = vscal (a * b) x;
  vseg : forall x y, vadd x (vscal 1 (vadd y (vscal (-1) x))) = y;
  ip_sym : forall x y, ip x y = ip y x;
  ip_add : forall x y z, ip (vadd x y) z = ip x z + ip y z;
  ip_scal : forall a x z, ip (vscal a x) z = a * ip x z;
  ip_pos : forall x, 0 <= ip x x }.

Arguments vadd {i}. Arguments vscal {i}. Arguments ip {i}.
Definition vsub {E : ips} (x y : E) : E := vadd x (vscal (-1) y).
Definition nrm {E : ips} (x : E) : R := sqrt (ip x x).

Lemma le_of_sqr a b : 0 <= b -> a * a <= b * b -> a <= b.
Proof. intros. nra. Qed.
Lemma sqrt_le_sqr x y : 0 <= y -> x <= y * y -> sqrt x <= y.
Proof. intros Hy Q. rewrite <- (sqrt_square y) by exact Hy. now apply sqrt_le_1_alt. Qed.
Lemma sqr_pos x : 0 <= x * x.
Proof. exact (Rle_0_sqr x). Qed.
Lemma Rabs_le_l x y : Rabs x <= y -> - y <= x <= y.
Proof. apply Rabs_le_between. Qed.

Section Ips.
Variable E : ips.
Implicit Types x y z : E.

Lemma ip_add_r x y z : ip z (vadd x y) = ip z x + ip z y.
Proof. now rewrite ip_sym, ip_add, (ip_sym _ x), (ip_sym _ y). Qed.
Lemma ip_scal_r a x z : ip z (vscal a x) = a * ip z x.
Proof. now rewrite ip_sym, ip_scal, (ip_sym _ x). Qed.
Lemma ip_sub x y z : ip (vsub x y) z = ip x z - ip y z.
Proof. unfold vsub. rewrite ip_add, ip_scal. ring. Qed.
Lemma ip_sub_r x y z : ip z (vsub x y) = ip z x - ip z y.
Proof. unfold vsub. rewrite ip_add_r, ip_scal_r. ring. Qed.
Lemma nrm_pos x : 0 <= nrm x.
Proof. apply sqrt_pos. Qed.
Lemma nrm_sqr x : nrm x * nrm x = ip x x.
Proof. apply sqrt_sqrt, ip_pos. Qed.
Lemma nrm_ext x y : ip x x = ip y y -> nrm x = nrm y.
Proof. unfold nrm. now intros ->. Qed.

Lemma cauchy_schwarz_sqr x y : ip x y * ip x y <= ip x x * ip y y.
Proof.
  assert (Q : forall a b, 0 <= a * a * ip x x + 2 * a * b * ip x y + b * b * ip y y).
  { intros a b. pose proof (ip_pos _ (vadd (vscal a x) (vscal b y))) as P.
    rewrite ip_add, !ip_add_r, !ip_scal, !ip_scal_r, (ip_sym _ y x) in P. lra. }
  pose proof (ip_pos _ x) as A. pose proof (ip_pos _ y) as B.
  destruct (Rle_lt_or_eq_dec 0 (ip y y) B) as [B'|B'].
  - specialize (Q (ip y y) (- ip x y)).
    assert (0 <= ip y y * (ip x x * ip y y - ip x y * ip x y)) by nra.
    apply Rnot_lt_le. intro C. nra.
  - rewrite <- B' in *. specialize (Q (ip x y) (- (ip x x + 1) / 2)). nra.
Qed.
Lemma cauchy_schwarz x y : Rabs (ip x y) <= nrm x * nrm y.
Proof.
  apply le_of_sqr; [apply Rmult_le_pos; apply nrm_pos|].
  rewrite <- Rabs_mult, Rabs_right by nra.
  replace (nrm x * nrm y * (nrm x * nrm y)) with (nrm x * nrm x * (nrm y * nrm y)) by ring.
  rewrite !nrm_sqr. apply cauchy_schwarz_sqr.
Qed.
Lemma ip_le x y : ip x y <= nrm x * nrm y.
Proof. eapply Rle_trans; [apply Rle_abs | apply cauchy_schwarz]. Qed.
Lemma triangle x y : nrm (vadd x y) <= nrm x + nrm y.
Proof.
  apply le_of_sqr; [pose proof (nrm_pos x); pose proof (nrm_pos y); lra|].
  rewrite nrm_sqr, ip_add, !ip_add_r, (ip_sym _ y x).
  pose proof (ip_le x y). pose proof (nrm_sqr x). pose proof (nrm_sqr y). nra.
Qed.
Lemma nrm_scal a x : nrm (vscal a x) = Rabs a * nrm x.
Proof.
  unfold nrm. rewrite ip_scal, ip_scal_r, <- Rmult_assoc, sqrt_mult_alt by nra.
  f_equal. apply sqrt_Rsqr_abs.
Qed.
Lemma nrm_neg x : nrm (vscal (-1) x) = nrm x.
Proof. rewrite nrm_scal, Rabs_left by lra. ring. Qed.
Lemma nrm_sub_sym x y : nrm (vsub x y) = nrm (vsub y x).
Proof. apply nrm_ext. rewrite !ip_sub, !ip_sub_r, (ip_sym _ x y). ring. Qed.
Lemma nrm_sub_self x : nrm (vsub x x) = 0.
Proof. unfold nrm. rewrite ip_sub, !ip_sub_r. replace (_ - _ - _) with 0 by ring. apply sqrt_0. Qed.
Lemma nrm_move x v s : nrm (vsub (vadd x (vscal s v)) x) = Rabs s * nrm v.
Proof.
  rewrite <- nrm_scal. apply nrm_ext.
  unfold vsub. rewrite !ip_add, !ip_scal, !ip_add_r, !ip_scal_r, (ip_sym _ v x). ring.
Qed.
Lemma nrm_move_le x v s c : nrm (vsub (vadd x (vscal s v)) c) <= nrm (vsub x c) + Rabs s * nrm v.
Proof.
  rewrite <- nrm_scal. eapply Rle_trans; [|apply triangle]. right. apply nrm_ext.
  unfold vsub. rewrite !ip_add, !ip_scal, !ip_add_r, !ip_scal_r.
  rewrite (ip_sym _ v x), (ip_sym _ c x), (ip_sym _ c v). ring.
Qed.
Lemma nrm_sub_triangle x y z : nrm (vsub x z) <= nrm (vsub x y) + nrm (vsub y z).
Proof.
  eapply Rle_trans; [|apply triangle]. right. apply nrm_ext. unfold vsub.
  repeat rewrite ?ip_add, ?ip_scal, ?ip_add_r, ?ip_scal_r. rewrite (ip_sym _ x y), (ip_sym _ y z), (ip_sym _ x z). ring.
Qed.
Lemma nrm_diff x y : Rabs (nrm x - nrm y) <= nrm (vsub x y).
Proof.
  assert (T : forall x y, nrm x <= nrm y + nrm (vsub x y)).
  { intros u v. eapply Rle_trans; [|apply triangle]. right. apply nrm_ext. unfold vsub.
    repeat rewrite ?ip_add, ?ip_scal, ?ip_add_r, ?ip_scal_r. rewrite (ip_sym _ u v). ring. }
  pose proof (T x y). pose proof (T y x) as T'. rewrite (nrm_sub_sym y x) in T'.
  apply Rabs_le. lra.
Qed.
(* a symmetric form that is small on the diagonal is small *)
Lemma polarize (B : E -> E -> R) c : 0 <= c ->
  (forall x y z, B (vadd x y) z = B x z + B y z) -> (forall a x z, B (vscal a x) z = a * B x z) ->
  (forall x y, B x y = B y x) -> (forall x, Rabs (B x x) <= c * ip x x) ->
  forall x y, Rabs (B x y) <= c * (nrm x * nrm y).
Proof.
  intros Pc Ba Bs By Bd.
  assert (Q : forall a b x y, Rabs (a * b * B x y) <= c / 2 * (a * a * ip x x + b * b * ip y y)).
  { intros a b x y.
    pose proof (Bd (vadd (vscal a x) (vscal b y))) as P. pose proof (Bd (vadd (vscal a x) (vscal (- b) y))) as P'.
    assert (X : forall a b, B (vadd (vscal a x) (vscal b y)) (vadd (vscal a x) (vscal b y)) = a * a * B x x + 2 * (a * b) * B x y + b * b * B y y).
    { intros a' b'. rewrite Ba, !Bs, (By x (vadd _ _)), (By y (vadd _ _)), !Ba, !Bs, (By y x). ring. }
    rewrite X in P, P'. revert P P'. rewrite !ip_add, !ip_add_r, !ip_scal, !ip_scal_r, (ip_sym _ y x).
    intros P P'. apply Rabs_le_between in P. apply Rabs_le_between in P'. apply Rabs_le. nra. }
  intros x y. pose proof (nrm_pos x) as Px. pose proof (nrm_pos y) as Py.
  destruct (Rle_lt_or_eq_dec 0 _ (Rmult_le_pos _ _ Px Py)) as [P|P].
  - specialize (Q (nrm y) (nrm x) x y). rewrite <- !nrm_sqr in Q. rewrite Rabs_mult, (Rabs_right (nrm y * nrm x)) in Q by nra.
    apply Rmult_le_reg_l with (nrm y * nrm x); [lra|]. nra.
  - rewrite <- P, Rmult_0_r. destruct (Rle_lt_or_eq_dec 0 _ (Rabs_pos (B x y))) as [A|A]; [exfalso|lra].
    assert (Z : ip x x = 0 \/ ip y y = 0).
    { rewrite <- !nrm_sqr. symmetry in P. apply Rmult_integral in P. destruct P as [-> | ->]; [left|right]; ring. }
    destruct Z as [Z|Z].
    + specialize (Q ((c * ip y y + 1) / Rabs (B x y)) 1 x y). rewrite Z, Rmult_1_r, Rabs_mult in Q.
      pose proof (ip_pos _ y) as Iy. rewrite Rabs_right in Q.
      2:{ left. apply Rdiv_lt_0_compat; nra. }
      replace ((c * ip y y + 1) / Rabs (B x y) * Rabs (B x y)) with (c * ip y y + 1) in Q by (field; lra). nra.
    + specialize (Q 1 ((c * ip x x + 1) / Rabs (B x y)) x y). rewrite Z, Rmult_1_l, Rabs_mult in Q.
      pose proof (ip_pos _ x) as Ix. rewrite Rabs_right in Q.
      2:{ left. apply Rdiv_lt_0_compat; nra. }
      replace ((c * ip x x + 1) / Rabs (B x y) * Rabs (B x y)) with (c * ip x x + 1) in Q by (field; lra). nra.
Qed.

Definition ball (c : E) rho (x : E) := nrm (vsub x c) <= rho.
Lemma ball_centre c rho : 0 <= rho -> ball c rho c.
Proof. intro. unfold ball. now rewrite nrm_sub_self. Qed.
Lemma ball_convex c rho x y s : 0 <= s <= 1 -> ball c rho x -> ball c rho y -> ball c rho (vadd y (vscal s (vsub x y))).
Proof.
  unfold ball. intros Hs H H'.
  assert (Q : nrm (vsub (vadd y (vscal s (vsub x y))) c) = nrm (vadd (vscal s (vsub x c)) (vscal (1 - s) (vsub y c)))).
  { apply nrm_ext. unfold vsub. repeat rewrite ?ip_add, ?ip_scal, ?ip_add_r, ?ip_scal_r.
    rewrite (ip_sym _ y x), (ip_sym _ c x), (ip_sym _ c y). ring. }
  rewrite Q. eapply Rle_trans; [apply triangle|]. rewrite !nrm_scal, !Rabs_right by lra. nra.
Qed.
End Ips.

(* the mean value theorem on [0, s] *)
Lemma mean_value (f df : R -> R) s : 0 <= s -> (forall x, 0 <= x <= s -> is_derive f x (df x)) ->
  exists c, 0 <= c <= s /\ f s - f 0 = df c * s.
Proof.
  intros Hs D. destruct (MVT_gen f 0 s df) as [c [Hc Q]]; rewrite Rmin_left, Rmax_right in * by assumption.
  - intros x Hx. apply D. lra.
  - intros x Hx. apply derivable_continuous_pt. exists (df x). now apply is_derive_Reals, D.
  - exists c. rewrite Q. split; [exact Hc | ring].
Qed.

(** * Sums over lists *)

Fixpoint lsum {A} (l : list A) (f : A -> R) : R :=
  match l with nil => 0 | i :: l => f i + lsum l f end.

Section Sums.
Context {A : Type}.
Implicit Types (l : list A) (f g : A -> R).
Lemma lsum_ext_in l f g : (forall i, In i l -> f i = g i) -> lsum l f = lsum l g.
Proof. induction l; simpl; intro H; [easy|]. rewrite (H a), IHl by auto. easy. Qed.
Lemma lsum_ext l f g : (forall i, f i = g i) -> lsum l f = lsum l g.
Proof. intro H. apply lsum_ext_in. auto. Qed.
Lemma lsum_plus l f g : lsum l (fun i => f i + g i) = lsum l f + lsum l g.
Proof. induction l; simpl; [ring|]. rewrite IHl. ring. Qed.
Lemma lsum_scal l c f : lsum l (fun i => c * f i) = c * lsum l f.
Proof. induction l; simpl; [ring|]. rewrite IHl. ring. Qed.
Lemma lsum_scal_r l c f : lsum l (fun i => f i * c) = lsum l f * c.
Proof. induction l; simpl; [ring|]. rewrite IHl. ring. Qed.
Lemma lsum_zero l : lsum l (fun _ => 0) = 0.
Proof. induction l; simpl; [easy|]. rewrite IHl. ring. Qed.
Lemma lsum_le l f g : (forall i, In i l -> f i <= g i) -> lsum l f <= lsum l g.
Proof. induction l; simpl; intro H; [lra|]. apply Rplus_le_compat; auto. Qed.
Lemma lsum_pos l f : (forall i, In i l -> 0 <= f i) -> 0 <= lsum l f.
Proof. induction l; simpl; intro H; [lra|]. apply Rplus_le_le_0_compat; auto. Qed.
Lemma lsum_abs l f : Rabs (lsum l f) <= lsum l (fun i => Rabs (f i)).
Proof. induction l; simpl; [rewrite Rabs_R0; lra|]. eapply Rle_trans; [apply Rabs_triang|]. lra. Qed.
Lemma lsum_derive l (f : A -> R -> R) (df : A -> R) s :
  (forall i, In i l -> is_derive (f i) s (df i)) -> is_derive (fun s => lsum l (fun i => f i s)) s (lsum l df).
Proof.
  induction l; simpl; intro H; [apply @is_derive_const|].
  apply @is_derive_plus; [apply H; auto | apply IHl; auto].
Qed.
End Sums.
Lemma lsum_swap {A B} (l : list A) (l' : list B) (f : A -> B -> R) :
  lsum l (fun i => lsum l' (f i)) = lsum l' (fun j => lsum l (fun i => f i j)).
Proof. induction l; simpl; [now rewrite lsum_zero|]. now rewrite IHl, lsum_plus. Qed.
Lemma lsum_app {A} (l l' : list A) f : lsum (l ++ l') f = lsum l f + lsum l' f.
Proof. induction l; simpl; [ring|]. rewrite IHl. ring. Qed.
Lemma lsum_map {A B} (g : A -> B) l f : lsum (map g l) f = lsum l (fun i => f (g i)).
Proof. induction l; simpl; [easy|]. now rewrite IHl. Qed.
Lemma lsum_prod {A B} (l : list A) (l' : list B) f :
  lsum (list_prod l l') f = lsum l (fun i => lsum l' (fun j => f (i, j))).
Proof. induction l; simpl; [easy|]. now rewrite lsum_app, lsum_map, IHl. Qed.

(** R^I, I listed by l *)
Definition Rl {I : Type} (l : list I) : ips.
Proof.
  refine (Ips (I -> R) (fun x y i => x i + y i) (fun a x i => a * x i)
              (fun x y => lsum l (fun i => x i * y i)) _ _ _ _ _ _ _).
  - intros. extensionality i. ring.
  - intros. extensionality i. ring.
  - intros. extensionality i. ring.
  - intros. apply lsum_ext. intro. ring.
  - intros. rewrite <- lsum_plus. apply lsum_ext. intro. ring.
  - intros. rewrite <- lsum_scal. apply lsum_ext. intro. ring.
  - intros. apply lsum_pos. intros. nra.
Defined.

Lemma lsum_cauchy_schwarz {I} (l : list I) f g :
  lsum l (fun i => f i * g i) <= sqrt (lsum l (fun i => f i * f i)) * sqrt (lsum l (fun i => g i * g i)).
Proof. exact (ip_le (Rl l) f g). Qed.

Lemma nodup_app {A} (l l' : list A) :
  NoDup l -> NoDup l' -> (forall x, In x l -> ~ In x l') -> NoDup (l ++ l').
Proof.
  induction l as [|a l IH]; simpl; intros H H' D; [exact H'|]. inversion H; subst. constructor.
  - rewrite in_app_iff. intros [Q|Q]; [easy|]. apply (D a); auto.
  - apply IH; auto.
Qed.
Lemma nodup_prod {A B} (l : list A) (l' : list B) : NoDup l -> NoDup l' -> NoDup (list_prod l l').
Proof.
  induction l as [|a l IH]; simpl; intros H H'; [constructor|]. inversion H; subst. apply nodup_app.
  - apply FinFun.Injective_map_NoDup; [|exact H']. intros x x' Q. now injection Q.
  - now apply IH.
  - intros [a' b] Q Q'. apply in_map_iff in Q. destruct Q as [b' [Q _]]. injection Q as <- <-.
    apply in_prod_iff in Q'. tauto.
Qed.

Lemma lsum_delta {A} (dec : forall x y : A, {x = y} + {x <> y}) (l : list A) (g : A -> R) p :
  NoDup l -> In p l -> lsum l (fun q => g q * (if dec q p then 1 else 0)) = g p.
Proof.
  induction l as [|a l IH]; simpl; [easy|]. intros ND Q. inversion ND; subst.
  destruct (dec a p) as [->|Ne].
  - rewrite (lsum_ext_in l _ (fun _ => 0)), lsum_zero; [ring|].
    intros i Hi. destruct (dec i p) as [->|]; [easy|]. ring.
  - destruct Q as [Q|Q]; [easy|]. rewrite IH by assumption. ring.
Qed.

