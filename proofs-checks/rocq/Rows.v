(* One row of attention: sum_j s_j u_j along a line, its first derivative [psi], and bounds on the derivative of psi:
   what Proposition 6 needs of the two kernels.  l lists the tokens of a sample. *)
Require Import Reals Lra Psatz List.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces.
Import ListNotations.
Open Scope R_scope.

Inductive kernel := Softmax | Gaussian.

(** * Moments under convex weights *)
Section Moments.
Context {A : Type}.
Variable l : list A.
Variable s : A -> R.
Hypothesis s_pos : forall j, 0 <= s j.
Hypothesis s_sum : lsum l s = 1.
Definition Ex (g : A -> R) := lsum l (fun j => s j * g j).
Definition cov g h := Ex (fun j => g j * h j) - Ex g * Ex h.
Definition third g h k := Ex (fun j => (g j - Ex g) * (h j - Ex h) * (k j - Ex k)).

Lemma Ex_ext g h : (forall j, g j = h j) -> Ex g = Ex h.
Proof. intro H. apply lsum_ext. intro. now rewrite H. Qed.
Lemma Ex_plus g h : Ex (fun j => g j + h j) = Ex g + Ex h.
Proof. unfold Ex. rewrite <- lsum_plus. apply lsum_ext. intro. ring. Qed.
Lemma Ex_scal k g : Ex (fun j => k * g j) = k * Ex g.
Proof. unfold Ex. rewrite <- lsum_scal. apply lsum_ext. intro. ring. Qed.
Lemma Ex_const k : Ex (fun _ => k) = k.
Proof. unfold Ex. rewrite lsum_scal_r, s_sum. ring. Qed.
Lemma Ex_le g h : (forall j, In j l -> g j <= h j) -> Ex g <= Ex h.
Proof. intro H. apply lsum_le. intros. apply Rmult_le_compat_l; auto. Qed.
Lemma Ex_abs g : Rabs (Ex g) <= Ex (fun j => Rabs (g j)).
Proof.
  eapply Rle_trans; [apply lsum_abs|]. apply lsum_le. intros j _. rewrite Rabs_mult, (Rabs_right (s j)); [lra|].
  apply Rle_ge, s_pos.
Qed.
Lemma Ex_cs g h : Ex (fun j => Rabs (g j) * Rabs (h j)) <= sqrt (Ex (fun j => g j * g j)) * sqrt (Ex (fun j => h j * h j)).
Proof.
  pose proof (lsum_cauchy_schwarz l (fun j => sqrt (s j) * Rabs (g j)) (fun j => sqrt (s j) * Rabs (h j))) as Q.
  cbv beta in Q.
  assert (S : forall x y j, sqrt (s j) * Rabs x * (sqrt (s j) * Rabs y) = s j * (Rabs x * Rabs y)).
  { intros. rewrite <- (sqrt_sqrt (s j)) at 3 by apply s_pos. ring. }
  assert (T : forall x, Rabs x * Rabs x = x * x) by (intro; rewrite <- Rabs_mult; apply Rabs_right; nra).
  assert (T1 : forall x, lsum l (fun j => sqrt (s j) * Rabs (x j) * (sqrt (s j) * Rabs (x j))) = Ex (fun j => x j * x j)).
  { intro x. apply lsum_ext. intro j. now rewrite S, T. }
  rewrite !T1 in Q. eapply Rle_trans; [|exact Q]. right. apply lsum_ext. intro j. now rewrite S.
Qed.
Lemma sd_le g G : 0 <= G -> (forall j, In j l -> Rabs (g j) <= G) ->
  sqrt (Ex (fun j => (g j - Ex g) * (g j - Ex g))) <= G.
Proof.
  intros P B. rewrite <- (sqrt_square G) by exact P. apply sqrt_le_1_alt.
  rewrite (Ex_ext _ (fun j => g j * g j + (-2 * Ex g) * g j + Ex g * Ex g)) by (intro; ring).
  rewrite (Ex_plus (fun j => g j * g j + -2 * Ex g * g j)), Ex_plus, Ex_scal, Ex_const.
  assert (Ex (fun j => g j * g j) <= G * G).
  { rewrite <- (Ex_const (G * G)). apply Ex_le. intros j Hj. specialize (B j Hj). apply Rabs_le_between in B. nra. }
  pose proof (Rle_0_sqr (Ex g)) as S. unfold Rsqr in S. lra.
Qed.
Lemma cov_centred g h : cov g h = Ex (fun j => (g j - Ex g) * (h j - Ex h)).
Proof.
  rewrite (Ex_ext (fun j => (g j - Ex g) * (h j - Ex h)) (fun j => g j * h j + (- Ex h) * g j + (- Ex g) * h j + Ex g * Ex h)) by (intro; ring).
  rewrite (Ex_plus (fun j => g j * h j + - Ex h * g j + - Ex g * h j)), (Ex_plus (fun j => g j * h j + - Ex h * g j)), Ex_plus, !Ex_scal, Ex_const.
  unfold cov. ring.
Qed.
Lemma cov_le g h G H : 0 <= G -> 0 <= H -> (forall j, In j l -> Rabs (g j) <= G) -> (forall j, In j l -> Rabs (h j) <= H) ->
  Rabs (cov g h) <= G * H.
Proof.
  intros PG PH BG BH. rewrite cov_centred. eapply Rle_trans; [apply Ex_abs|].
  rewrite (Ex_ext _ (fun j => Rabs (g j - Ex g) * Rabs (h j - Ex h))) by (intro; apply Rabs_mult).
  eapply Rle_trans; [apply Ex_cs|]. apply Rmult_le_compat; try apply sqrt_pos; now apply sd_le.
Qed.
Lemma third_le g h k G H K : 0 <= G -> 0 <= H -> 0 <= K ->
  (forall j, In j l -> Rabs (g j) <= G) -> (forall j, In j l -> Rabs (h j) <= H) -> (forall j, In j l -> Rabs (k j) <= K) ->
  Rabs (third g h k) <= 2 * K * (G * H).
Proof.
  intros PG PH PK BG BH BK. eapply Rle_trans; [apply Ex_abs|].
  assert (EK : Rabs (Ex k) <= K).
  { eapply Rle_trans; [apply Ex_abs|]. rewrite <- (Ex_const K). now apply Ex_le. }
  apply Rle_trans with (Ex (fun j => 2 * K * (Rabs (g j - Ex g) * Rabs (h j - Ex h)))).
  - apply Ex_le. intros j Hj. rewrite !Rabs_mult, Rmult_comm. apply Rmult_le_compat_r; [apply Rmult_le_pos; apply Rabs_pos|].
    unfold Rminus. eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_Ropp. specialize (BK j Hj). lra.
  - rewrite Ex_scal. apply Rmult_le_compat_l; [lra|].
    eapply Rle_trans; [apply Ex_cs|]. apply Rmult_le_compat; try apply sqrt_pos; now apply sd_le.
Qed.
End Moments.

(** * Rows *)
Section Row.
Context {A : Type}.
Variable kn : kernel.
Variable l : list A.
Hypothesis l_ne : l <> nil.

(* weights of the row with scores c; the output; and its derivative when scores move by a and values by d *)
Definition weight (c : A -> R) j :=
  match kn with Softmax => exp (c j) / lsum l (fun j => exp (c j)) | Gaussian => exp (c j) end.
Definition row (c u : A -> R) := lsum l (fun j => weight c j * u j).
Definition mean (c u : A -> R) := match kn with Softmax => row c u | Gaussian => 0 end.
Definition psi (c a u d : A -> R) := lsum l (fun j => weight c j * (a j * (u j - mean c u) + d j)).

Lemma den_pos c : 0 < lsum l (fun j => exp (c j)).
Proof.
  destruct l as [|j l']; [easy|]. simpl. apply Rplus_lt_le_0_compat; [apply exp_pos|].
  apply lsum_pos. intros. left. apply exp_pos.
Qed.
Lemma weight_pos c j : 0 < weight c j.
Proof.
  unfold weight. destruct kn; [|apply exp_pos]. apply Rdiv_lt_0_compat; [apply exp_pos | apply den_pos].
Qed.

Lemma row_lin {B} (lc : list B) (w : B -> R) c (u : A -> B -> R) :
  lsum lc (fun x => w x * row c (fun j => u j x)) = row c (fun j => lsum lc (fun x => w x * u j x)).
Proof.
  unfold row. rewrite (lsum_ext lc _ (fun x => lsum l (fun j => weight c j * (w x * u j x)))).
  - rewrite lsum_swap. apply lsum_ext. intro j. now rewrite lsum_scal.
  - intro x. rewrite <- lsum_scal. apply lsum_ext. intro. ring.
Qed.
Lemma psi_lin {B} (lc : list B) (w : B -> R) c a (u d : A -> B -> R) :
  lsum lc (fun x => w x * psi c a (fun j => u j x) (fun j => d j x))
  = psi c a (fun j => lsum lc (fun x => w x * u j x)) (fun j => lsum lc (fun x => w x * d j x)).
Proof.
  assert (M : lsum lc (fun x => w x * mean c (fun j => u j x)) = mean c (fun j => lsum lc (fun x => w x * u j x))).
  { unfold mean. destruct kn eqn:Qk; [apply row_lin|]. rewrite lsum_scal_r. ring. }
  unfold psi. rewrite <- M.
  rewrite (lsum_ext lc _ (fun x => lsum l (fun j => weight c j * (a j * (w x * u j x - w x * mean c (fun j => u j x)) + w x * d j x)))).
  - rewrite lsum_swap. apply lsum_ext. intro j. rewrite lsum_scal, lsum_plus, lsum_scal.
    rewrite (lsum_ext lc (fun x => w x * u j x - _) (fun x => w x * u j x + (-1) * (w x * mean c (fun j => u j x)))) by (intro; ring).
    rewrite lsum_plus, lsum_scal. ring.
  - intro x. rewrite <- lsum_scal. apply lsum_ext. intro. ring.
Qed.
Lemma row_sum (H : kn = Softmax) c : lsum l (weight c) = 1.
Proof. unfold weight. rewrite H. unfold Rdiv. rewrite lsum_scal_r. apply Rinv_r. pose proof (den_pos c). lra. Qed.
End Row.

(** along a line *)
Section Line.
Context {A : Type}.
Variable l : list A.
Hypothesis l_ne : l <> nil.
Variables c a u : A -> R -> R.
Variable d : A -> R.
Variable t : R.
Variables c' a' u' : A -> R.
Hypothesis Dc : forall j, is_derive (c j) t (c' j).
Hypothesis Da : forall j, is_derive (a j) t (a' j).
Hypothesis Du : forall j, is_derive (u j) t (u' j).
Notation ct := (fun j => c j t).

Lemma exp_derive j : is_derive (fun t => exp (c j t)) t (c' j * exp (c j t)).
Proof. apply (is_derive_comp exp (c j)); [|apply Dc]. apply is_derive_Reals, derivable_pt_lim_exp. Qed.

Notation sm := (weight Softmax l).
Notation E := (Ex l (sm ct)).
Lemma sm_derive j : is_derive (fun t => sm (fun j => c j t) j) t (sm ct j * (c' j - E c')).
Proof.
  pose proof (den_pos l l_ne ct) as P. cbv beta in P.
  assert (Dd : is_derive (fun t => lsum l (fun j => exp (c j t))) t (lsum l (fun j => c' j * exp (c j t)))).
  { apply lsum_derive. intros. apply exp_derive. }
  unfold weight at 1. evar_last; [apply is_derive_div; [apply exp_derive | exact Dd | lra]|].
  assert (Q : E c' = lsum l (fun j => c' j * exp (c j t)) / lsum l (fun j => exp (c j t))).
  { unfold Ex, weight, Rdiv. rewrite <- lsum_scal_r. apply lsum_ext. intro. ring. }
  rewrite Q. unfold weight. field. lra.
Qed.
Lemma E_derive g g' : (forall j, is_derive (g j) t (g' j)) ->
  is_derive (fun t => Ex l (sm (fun j => c j t)) (fun j => g j t)) t (E (fun j => (c' j - E c') * g j t) + E g').
Proof.
  intro D. replace (_ + _) with (lsum l (fun j => sm ct j * (c' j - E c') * g j t + sm ct j * g' j)).
  - apply (lsum_derive l (fun j t => sm (fun j => c j t) j * g j t)). intros j _.
    exact (is_derive_mult _ _ _ _ _ (sm_derive j) (D j) Rmult_comm).
  - rewrite lsum_plus. unfold Ex at 2. f_equal. apply lsum_ext. intro. ring.
Qed.
Lemma sum1 : lsum l (sm ct) = 1.
Proof. now apply row_sum. Qed.
Lemma psi_cov c0 (a0 u0 d0 : A -> R) : psi Softmax l c0 a0 u0 d0 = cov l (sm c0) a0 u0 + Ex l (sm c0) d0.
Proof.
  unfold psi, mean. fold (Ex l (sm c0) u0). set (m := row Softmax l c0 u0).
  rewrite (lsum_ext l _ (fun j => (sm c0 j * (a0 j * u0 j) + (- m) * (sm c0 j * a0 j)) + sm c0 j * d0 j)) by (intro; ring).
  rewrite lsum_plus, lsum_plus, lsum_scal. unfold cov, Ex, m, row. ring.
Qed.

Lemma row_derive kn : is_derive (fun t => row kn l (fun j => c j t) (fun j => u j t)) t (psi kn l ct c' (fun j => u j t) u').
Proof.
  destruct kn.
  - rewrite psi_cov. evar_last; [exact (E_derive u u' Du)|]. unfold cov.
    rewrite (Ex_ext l (sm ct) (fun j => (c' j - E c') * u j t) (fun j => c' j * u j t + (- E c') * u j t)) by (intro; ring).
    rewrite Ex_plus, Ex_scal. ring.
  - unfold row, psi, mean, weight.
    apply (lsum_derive l (fun j t => exp (c j t) * u j t)). intros j _.
    evar_last; [exact (is_derive_mult _ _ _ _ _ (exp_derive j) (Du j) Rmult_comm)|]. unfold plus, mult. simpl. ring.
Qed.

Lemma psi_derive_softmax : is_derive (fun t => psi Softmax l (fun j => c j t) (fun j => a j t) (fun j => u j t) d) t
  (third l (sm ct) (fun j => a j t) c' (fun j => u j t) + cov l (sm ct) a' (fun j => u j t)
   + cov l (sm ct) (fun j => a j t) u' + cov l (sm ct) c' d).
Proof.
  apply (is_derive_ext (fun t => cov l (sm (fun j => c j t)) (fun j => a j t) (fun j => u j t) + Ex l (sm (fun j => c j t)) d)).
  { intro. now rewrite psi_cov. }
  assert (Dau : forall j, is_derive (fun t => a j t * u j t) t (a' j * u j t + a j t * u' j)).
  { intro j. exact (is_derive_mult _ _ _ _ _ (Da j) (Du j) Rmult_comm). }
  pose proof (E_derive (fun j t => a j t * u j t) _ Dau) as D1.
  pose proof (E_derive a _ Da) as D2. pose proof (E_derive u _ Du) as D3.
  assert (D4 : is_derive (fun t => Ex l (sm (fun j => c j t)) d) t (E (fun j => (c' j - E c') * d j) + E (fun _ => 0))).
  { apply (E_derive (fun j _ => d j) (fun _ => 0)). intro. apply @is_derive_const. }
  evar_last; [exact (is_derive_plus _ _ _ _ _ (is_derive_minus _ _ _ _ _ D1 (is_derive_mult _ _ _ _ _ D2 D3 Rmult_comm)) D4)|].
  unfold plus, minus, opp, mult. simpl.
  pose proof (Ex_const l (sm ct) sum1) as EC. rewrite (EC 0).
  assert (M : forall g, E (fun j => (c' j - E c') * g j) = E (fun j => c' j * g j) - E c' * E g).
  { intro g. rewrite (Ex_ext l (sm ct) _ (fun j => c' j * g j + (- E c') * g j)) by (intro; ring).
    rewrite Ex_plus, Ex_scal. ring. }
  rewrite !M. rewrite (Ex_plus l (sm ct) (fun j => a' j * u j t) (fun j => a j t * u' j)).
  unfold third. set (ma := E (fun j => a j t)). set (mu := E (fun j => u j t)). set (mc := E c').
  rewrite (Ex_ext l (sm ct) (fun j => (a j t - ma) * (c' j - mc) * (u j t - mu))
    (fun j => c' j * (a j t * u j t) + (- mc) * (a j t * u j t) + (- ma) * (c' j * u j t) + (- mu) * (c' j * a j t)
      + (ma * mc) * u j t + (mc * mu) * a j t + (ma * mu) * c' j + - (ma * mc * mu))) by (intro; ring).
  rewrite !(Ex_plus l (sm ct)), !Ex_scal, EC. unfold cov. fold ma mu mc. unfold plus. simpl. ring.
Qed.
Lemma psi_derive_gaussian : is_derive (fun t => psi Gaussian l (fun j => c j t) (fun j => a j t) (fun j => u j t) d) t
  (lsum l (fun j => exp (c j t) * ((c' j * a j t + a' j) * u j t + (a j t * u' j + c' j * d j)))).
Proof.
  unfold psi, mean, weight.
  apply (is_derive_ext (fun t => lsum l (fun j => exp (c j t) * (a j t * u j t + d j)))).
  { intro. apply lsum_ext. intro. ring. }
  apply (lsum_derive l (fun j t => exp (c j t) * (a j t * u j t + d j))). intros j _.
  evar_last; [exact (is_derive_mult _ _ _ _ _ (exp_derive j) (is_derive_plus _ _ _ _ _
    (is_derive_mult _ _ _ _ _ (Da j) (Du j) Rmult_comm) (is_derive_const (d j) t)) Rmult_comm)|].
  unfold plus, mult, zero. simpl. ring.
Qed.
End Line.

(** * Scores: half the square of z = (q, kappa) in a symmetric form *)
Definition dot d (u v : nat -> R) := lsum (seq 0 d) (fun b => u b * v b).
Definition enorm d u := sqrt (dot d u u).
Section Dot.
Variable d : nat.
Lemma dot_comm u v : dot d u v = dot d v u.
Proof. apply lsum_ext. intro. ring. Qed.
Lemma dot_lin u v z s : dot d (fun b => u b + s * v b) z = dot d u z + s * dot d v z.
Proof. unfold dot. rewrite <- lsum_scal, <- lsum_plus. apply lsum_ext. intro. ring. Qed.
Lemma dot_lin_r u v z s : dot d z (fun b => u b + s * v b) = dot d z u + s * dot d z v.
Proof. now rewrite !(dot_comm z), dot_lin. Qed.
Lemma dot_sub u v z : dot d (fun b => u b - v b) z = dot d u z - dot d v z.
Proof.
  unfold dot. rewrite (lsum_ext _ _ (fun b => u b * z b + (-1) * (v b * z b))) by (intro; ring).
  rewrite lsum_plus, lsum_scal. ring.
Qed.
Lemma dot_sub_r u v z : dot d z (fun b => u b - v b) = dot d z u - dot d z v.
Proof. now rewrite !(dot_comm z), dot_sub. Qed.
Lemma dot_cs u v : Rabs (dot d u v) <= enorm d u * enorm d v.
Proof. exact (cauchy_schwarz (Rl (seq 0 d)) u v). Qed.
Lemma enorm_pos u : 0 <= enorm d u.
Proof. apply sqrt_pos. Qed.
Lemma enorm_sqr u : enorm d u * enorm d u = dot d u u.
Proof. exact (nrm_sqr (Rl (seq 0 d)) u). Qed.
Lemma enorm_add u v s : enorm d (fun b => u b + s * v b) <= enorm d u + Rabs s * enorm d v.
Proof.
  pose proof (triangle (Rl (seq 0 d)) u (@vscal (Rl (seq 0 d)) s v)) as T. rewrite nrm_scal in T. exact T.
Qed.
Lemma enorm_sub u v : enorm d (fun b => u b - v b) <= enorm d u + enorm d v.
Proof.
  replace (enorm d (fun b => u b - v b)) with (enorm d (fun b => u b + -1 * v b)).
  - eapply Rle_trans; [apply enorm_add|]. rewrite Rabs_left by lra. lra.
  - unfold enorm. f_equal. apply lsum_ext. intro. ring.
Qed.
Lemma dot_le y z Y Z : 0 <= Y -> enorm d y <= Y -> enorm d z <= Z -> Rabs (dot d y z) <= Y * Z.
Proof. intros P H H'. eapply Rle_trans; [apply dot_cs|]. apply Rmult_le_compat; auto using enorm_pos. Qed.
End Dot.

(* (star): x y' + y x' <= |(x, y)| |(x', y')| *)
Lemma star x y x' y' : x * y' + y * x' <= sqrt (x * x + y * y) * sqrt (x' * x' + y' * y').
Proof.
  rewrite <- sqrt_mult_alt by nra. apply Rsqr_incr_0_var; [|apply sqrt_pos]. unfold Rsqr.
  rewrite sqrt_sqrt by (apply Rmult_le_pos; nra). pose proof (sqr_pos (x * x' - y * y')). nra.
Qed.

Section Form.
Variable kn : kernel.
Variable d : nat.
Variable rd : R.                   (* sqrt d *)
Hypothesis rd_pos : 0 < rd.
Definition score (q k : nat -> R) := match kn with
  | Softmax => dot d q k / rd
  | Gaussian => - dot d (fun b => q b - k b) (fun b => q b - k b) / (2 * rd) end.
Definition form (q k q' k' : nat -> R) := match kn with
  | Softmax => (dot d q k' + dot d q' k) / rd
  | Gaussian => - dot d (fun b => q b - k b) (fun b => q' b - k' b) / rd end.
Lemma score_form q k : score q k = form q k q k / 2.
Proof. unfold score, form. destruct kn; field; lra. Qed.
Lemma form_sym q k q' k' : form q k q' k' = form q' k' q k.
Proof. unfold form. destruct kn; [f_equal; ring|]. now rewrite dot_comm. Qed.
Lemma form_lin q k q' k' q'' k'' s :
  form (fun b => q b + s * q' b) (fun b => k b + s * k' b) q'' k'' = form q k q'' k'' + s * form q' k' q'' k''.
Proof.
  unfold form. destruct kn.
  - rewrite dot_lin, dot_lin_r. field. lra.
  - rewrite !dot_sub, !dot_lin. field. lra.
Qed.
Lemma form_lin_r q k q' k' q'' k'' s :
  form q'' k'' (fun b => q b + s * q' b) (fun b => k b + s * k' b) = form q'' k'' q k + s * form q'' k'' q' k'.
Proof. rewrite form_sym, form_lin. now rewrite !(form_sym _ _ q'' k''). Qed.
(* the part of the form that belongs to q, and to kappa *)
Lemma form_split q k q' k' :
  form q k q' k' = (dot d q' (fun b => match kn with Softmax => k b | Gaussian => k b - q b end)
                  + dot d k' (fun b => match kn with Softmax => q b | Gaussian => q b - k b end)) / rd.
Proof.
  unfold form. destruct kn; cbv beta iota.
  - change (fun b => k b) with k. change (fun b => q b) with q. rewrite (dot_comm d k' q). field. lra.
  - rewrite !dot_sub_r, !dot_sub, (dot_comm d q' k), (dot_comm d k' q), (dot_comm d k' k), (dot_comm d q' q). field. lra.
Qed.
End Form.

(** * Both derivatives along a line z + t e, in the direction v; uv, ue: how the values move *)
Section Bounds.
Context {A : Type}.
Variable kn : kernel.
Variable l : list A.
Hypothesis l_ne : l <> nil.
Variable d : nat.
Variable rd : R.
Hypothesis rd_pos : 0 < rd.
Variables q qv qe : nat -> R.
Variables k kv ke : A -> nat -> R.
Variables u uv ue : A -> R.
Definition qt t b := q b + t * qe b.
Definition kt j t b := k j b + t * ke j b.
Definition ut j t := u j + t * ue j.
Notation B := (form kn d rd).
Definition sc j t := score kn d rd (qt t) (kt j t).
Definition sa j t := B (qt t) (kt j t) qv (kv j).
Definition sc' t j := B (qt t) (kt j t) qe (ke j).
Definition sa' j := B qe (ke j) qv (kv j).

Lemma Dc t j : is_derive (sc j) t (sc' t j).
Proof.
  apply (is_derive_ext (fun t => (B q (k j) q (k j) + 2 * t * B q (k j) qe (ke j) + t * t * B qe (ke j) qe (ke j)) / 2)).
  { intro s. unfold sc. rewrite score_form by exact rd_pos. unfold qt, kt. rewrite form_lin, !form_lin_r by exact rd_pos.
    rewrite (form_sym _ _ _ qe (ke j) q). match goal with |- ?x = ?y => change (@eq R x y) end. field. }
  unfold sc', qt, kt. rewrite form_lin by exact rd_pos. auto_derive; [easy|]. field.
Qed.
Lemma Da t j : is_derive (sa j) t (sa' j).
Proof.
  apply (is_derive_ext (fun t => B q (k j) qv (kv j) + t * B qe (ke j) qv (kv j))).
  { intro s. unfold sa, qt, kt. now rewrite form_lin. }
  unfold sa'. auto_derive; [easy|]. ring.
Qed.
Lemma Du t j : is_derive (ut j) t (ue j).
Proof. unfold ut. auto_derive; [easy|]. ring. Qed.

(* xQ = 1_Q x, xK = 1_K xi, oV = 1_V xi o; vQ, vK, vV: norms of the direction's blocks in this head *)
Variables xQ xK oV qb kb ub vQ vK vV eQ eK eV : R.
Hypothesis pos : 0 <= xQ /\ 0 <= xK /\ 0 <= oV /\ 0 <= qb /\ 0 <= kb /\ 0 <= ub.
Hypothesis posv : 0 <= vQ /\ 0 <= vK /\ 0 <= vV /\ 0 <= eQ /\ 0 <= eK /\ 0 <= eV.
Variable t : R.
Hypothesis Hq : enorm d (qt t) <= qb.
Hypothesis HK : forall j, In j l -> enorm d (kt j t) <= kb.
Hypothesis Hu : forall j, In j l -> Rabs (ut j t) <= ub.
Hypothesis Hqv : enorm d qv <= xQ * vQ.
Hypothesis Hqe : enorm d qe <= xQ * eQ.
Hypothesis HKv : forall j, In j l -> enorm d (kv j) <= xK * vK.
Hypothesis HKe : forall j, In j l -> enorm d (ke j) <= xK * eK.
Hypothesis Huv : forall j, In j l -> Rabs (uv j) <= oV * vV.
Hypothesis Hue : forall j, In j l -> Rabs (ue j) <= oV * eV.

(* the constants of Proposition 6 *)
Definition soft_a := sqrt ((xQ * kb) * (xQ * kb) + (xK * qb) * (xK * qb)) / rd.
Definition soft_b := 2 * ub * (soft_a * soft_a) + xQ * xK * ub / rd + soft_a * oV.
Definition gauss_g := sqrt (xQ * xQ + xK * xK).
Definition gauss_2 := (2 / exp 1 + 1) / rd.
Definition gauss_1 := exp (- / 2) / sqrt rd.
Definition gauss_b := INR (length l) * (gauss_2 * (gauss_g * gauss_g) * ub + gauss_1 * gauss_g * oV).
Definition row_b := match kn with Softmax => soft_b | Gaussian => gauss_b end.
Definition nv := sqrt (vQ * vQ + vK * vK + vV * vV).
Definition ne := sqrt (eQ * eQ + eK * eK + eV * eV).
Let sv := sqrt (vQ * vQ + vK * vK).
Let se := sqrt (eQ * eQ + eK * eK).
Lemma svV : sv * eV + vV * se <= nv * ne.
Proof.
  assert (Nv : nv = sqrt (sv * sv + vV * vV)) by (unfold nv, sv; rewrite sqrt_sqrt by nra; easy).
  assert (Ne : ne = sqrt (se * se + eV * eV)) by (unfold ne, se; rewrite sqrt_sqrt by nra; easy).
  rewrite Nv, Ne. apply star.
Qed.
Lemma svse : sv * se <= nv * ne.
Proof. apply Rmult_le_compat; try apply sqrt_pos; apply sqrt_le_1_alt; nra. Qed.
Lemma sv_pos : 0 <= sv /\ 0 <= se.
Proof. split; apply sqrt_pos. Qed.
Lemma ir_pos : 0 <= / rd.
Proof. left. now apply Rinv_0_lt_compat. Qed.

Lemma two_dots y z y' z' Y Z Y' Z' : 0 <= Y -> 0 <= Y' -> enorm d y <= Y -> enorm d z <= Z -> enorm d y' <= Y' -> enorm d z' <= Z' ->
  Rabs ((dot d y z + dot d y' z') / rd) <= (Y * Z + Y' * Z') / rd.
Proof.
  intros. pose proof ir_pos. unfold Rdiv. rewrite Rabs_mult, (Rabs_right (/ rd)) by lra. apply Rmult_le_compat_r; [assumption|].
  eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat; now apply dot_le.
Qed.

(* softmax *)
Lemma soft_bound : kn = Softmax -> exists D2,
  is_derive (fun t => psi kn l (fun j => sc j t) (fun j => sa j t) (fun j => ut j t) uv) t D2 /\ Rabs D2 <= soft_b * nv * ne.
Proof.
  intro kn_soft.
  destruct pos as (PxQ & PxK & Po & Pq & Pk & Pu). destruct posv as (PvQ & PvK & PvV & PeQ & PeK & PeV).
  pose proof ir_pos as Pir. destruct sv_pos as [Psv Pse].
  assert (Pca : 0 <= soft_a) by (apply Rmult_le_pos; [apply sqrt_pos | assumption]).
  assert (Ba : forall j, In j l -> Rabs (sa j t) <= soft_a * sv).
  { intros j Hj. unfold sa, form. rewrite kn_soft.
    eapply Rle_trans; [apply (two_dots _ _ _ _ qb (xK * vK) (xQ * vQ) kb); auto; nra|].
    unfold soft_a, sv, Rdiv. rewrite (Rmult_assoc (sqrt _)), (Rmult_comm (/ rd)), <- (Rmult_assoc (sqrt _)).
    apply Rmult_le_compat_r; [exact Pir|]. pose proof (star (xQ * kb) (xK * qb) vK vQ). rewrite (Rplus_comm (vQ * vQ)). lra. }
  assert (Bc : forall j, In j l -> Rabs (sc' t j) <= soft_a * se).
  { intros j Hj. unfold sc', form. rewrite kn_soft.
    eapply Rle_trans; [apply (two_dots _ _ _ _ qb (xK * eK) (xQ * eQ) kb); auto; nra|].
    unfold soft_a, se, Rdiv. rewrite (Rmult_assoc (sqrt _)), (Rmult_comm (/ rd)), <- (Rmult_assoc (sqrt _)).
    apply Rmult_le_compat_r; [exact Pir|]. pose proof (star (xQ * kb) (xK * qb) eK eQ). rewrite (Rplus_comm (eQ * eQ)). lra. }
  assert (Bm : forall j, In j l -> Rabs (sa' j) <= xQ * xK / rd * (sv * se)).
  { intros j Hj. unfold sa', form. rewrite kn_soft.
    eapply Rle_trans; [apply (two_dots _ _ _ _ (xQ * eQ) (xK * vK) (xQ * vQ) (xK * eK)); auto; nra|].
    unfold Rdiv. replace (xQ * eQ * (xK * vK) + xQ * vQ * (xK * eK)) with (xQ * xK * (vQ * eK + vK * eQ)) by ring.
    rewrite !Rmult_assoc, (Rmult_comm (/ rd)), <- !Rmult_assoc. apply Rmult_le_compat_r; [exact Pir|].
    rewrite !(Rmult_assoc (xQ * xK)). apply Rmult_le_compat_l; [nra|]. unfold sv, se. pose proof (star vQ vK eQ eK). lra. }
  pose proof (psi_derive_softmax l l_ne sc sa ut uv t (sc' t) sa' ue (Dc t) (Da t) (Du t)) as Der.
  match type of Der with is_derive _ _ ?D => exists D end. split; [rewrite kn_soft; exact Der|].
  set (s := weight Softmax l (fun j => sc j t)).
  assert (Sp : forall j, 0 <= s j) by (intro; left; now apply weight_pos).
  assert (S1 : lsum l s = 1) by (apply sum1; exact l_ne).
  pose proof (third_le l s Sp S1 (fun j => sa j t) (sc' t) (fun j => ut j t) (soft_a * sv) (soft_a * se) ub) as T.
  pose proof (cov_le l s Sp S1 sa' (fun j => ut j t) (xQ * xK / rd * (sv * se)) ub) as C1.
  pose proof (cov_le l s Sp S1 (fun j => sa j t) ue (soft_a * sv) (oV * eV)) as C2.
  pose proof (cov_le l s Sp S1 (sc' t) uv (soft_a * se) (oV * vV)) as C3.
  assert (N1 : 0 <= soft_a * sv) by now apply Rmult_le_pos. assert (N2 : 0 <= soft_a * se) by now apply Rmult_le_pos.
  assert (N3 : 0 <= xQ * xK / rd * (sv * se)) by (repeat apply Rmult_le_pos; assumption).
  assert (N4 : 0 <= oV * eV) by now apply Rmult_le_pos. assert (N5 : 0 <= oV * vV) by now apply Rmult_le_pos.
  specialize (T N1 N2 Pu Ba Bc Hu). specialize (C1 N3 Pu Bm Hu). specialize (C2 N1 N4 Ba Hue). specialize (C3 N2 N5 Bc Huv).
  eapply Rle_trans; [apply Rabs_triang|]. eapply Rle_trans; [apply Rplus_le_compat_r, Rabs_triang|].
  eapply Rle_trans; [apply Rplus_le_compat_r, Rplus_le_compat_r, Rabs_triang|].
  pose proof svse as S2. pose proof svV as S3.
  assert (P1 : 0 <= 2 * ub * (soft_a * soft_a)) by (apply Rmult_le_pos; [lra | now apply Rmult_le_pos]).
  assert (P2 : 0 <= xQ * xK * ub / rd) by (repeat apply Rmult_le_pos; assumption).
  assert (P3 : 0 <= soft_a * oV) by now apply Rmult_le_pos.
  unfold soft_b. apply Rle_trans with (2 * ub * (soft_a * soft_a) * (sv * se) + xQ * xK * ub / rd * (sv * se) + soft_a * oV * (sv * eV + vV * se)).
  - eapply Rle_trans; [repeat apply Rplus_le_compat; [exact T | exact C1 | exact C2 | exact C3]|]. right. field. lra.
  - pose proof (Rmult_le_compat_l _ _ _ P1 S2). pose proof (Rmult_le_compat_l _ _ _ P2 S2). pose proof (Rmult_le_compat_l _ _ _ P3 S3). lra.
Qed.

(* Gaussian *)
Lemma exp_peak x : x * exp (- x) <= / exp 1.
Proof.
  pose proof (exp_ineq1_le (x - 1)) as Q. pose proof (exp_pos 1) as P1. pose proof (exp_pos (- x)) as Pt.
  apply Rmult_le_reg_l with (exp 1); [exact P1|]. rewrite Rinv_r by lra.
  assert (Q' : x <= exp (x - 1)) by lra.
  apply Rle_trans with (exp 1 * (exp (x - 1) * exp (- x))).
  - apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_r; lra.
  - rewrite <- !exp_plus. right. rewrite <- exp_0. f_equal. ring.
Qed.
Lemma gauss_s w : exp (- dot d w w / (2 * rd)) <= 1 /\ dot d w w / (2 * rd) * exp (- dot d w w / (2 * rd)) <= / exp 1.
Proof.
  replace (- dot d w w / (2 * rd)) with (- (dot d w w / (2 * rd))) by (field; lra). split; [|apply exp_peak].
  assert (T0 : 0 <= dot d w w / (2 * rd)).
  { rewrite <- enorm_sqr. apply Rmult_le_pos; [apply sqr_pos|]. left. apply Rinv_0_lt_compat. lra. }
  rewrite <- exp_0. destruct T0 as [T0|T0]; [left; apply exp_increasing; lra | rewrite <- T0, Ropp_0; right; easy].
Qed.
Lemma gauss_atom w x z :
  Rabs (exp (- dot d w w / (2 * rd)) * ((- dot d w z / rd) * (- dot d w x / rd) + - dot d z x / rd)) <= gauss_2 * (enorm d x * enorm d z).
Proof.
  destruct (gauss_s w) as [G1 G2]. set (s := exp _) in *. assert (Ps : 0 < s) by apply exp_pos. pose proof ir_pos as Pir.
  pose proof (enorm_pos d x) as Px. pose proof (enorm_pos d z) as Pz. pose proof (enorm_pos d w) as Pw.
  assert (T : Rabs ((- dot d w z / rd) * (- dot d w x / rd) + - dot d z x / rd) <= (2 * (dot d w w / (2 * rd)) + 1) * / rd * (enorm d x * enorm d z)).
  { eapply Rle_trans; [apply Rabs_triang|].
    replace (- dot d w z / rd * (- dot d w x / rd)) with (dot d w z * dot d w x * (/ rd * / rd)) by (field; lra).
    unfold Rdiv. rewrite !Rabs_mult, Rabs_Ropp, (Rabs_right (/ rd)) by lra.
    pose proof (dot_cs d w z) as C1. pose proof (dot_cs d w x) as C2. pose proof (dot_cs d z x) as C3.
    assert (Rabs (dot d w z) * Rabs (dot d w x) <= (enorm d w * enorm d z) * (enorm d w * enorm d x)) by (apply Rmult_le_compat; auto using Rabs_pos).
    replace ((2 * (dot d w w * / (2 * rd)) + 1) * / rd * (enorm d x * enorm d z)) with
      ((enorm d w * enorm d z) * (enorm d w * enorm d x) * (/ rd * / rd) + enorm d z * enorm d x * / rd)
      by (rewrite <- (enorm_sqr d w); field; lra).
    apply Rplus_le_compat; apply Rmult_le_compat_r; try assumption. now apply Rmult_le_pos. }
  rewrite Rabs_mult, (Rabs_right s) by lra. eapply Rle_trans; [apply Rmult_le_compat_l; [lra | exact T]|].
  rewrite <- !Rmult_assoc. do 2 (apply Rmult_le_compat_r; [assumption|]). unfold gauss_2.
  apply Rmult_le_compat_r; [assumption|]. unfold Rdiv in *. lra.
Qed.
Lemma gauss_first w z : Rabs (exp (- dot d w w / (2 * rd)) * (- dot d w z / rd)) <= gauss_1 * enorm d z.
Proof.
  pose proof ir_pos as Pir. pose proof (enorm_pos d z) as Pz. pose proof (enorm_pos d w) as Pw.
  set (s := exp _). assert (Ps : 0 < s) by apply exp_pos.
  assert (Sr : 0 < sqrt rd) by now apply sqrt_lt_R0. assert (Ee : 0 < exp (- / 2)) by apply exp_pos.
  assert (K1 : s * enorm d w <= exp (- / 2) * sqrt rd).
  { apply le_of_sqr; [nra|]. replace (s * enorm d w * (s * enorm d w)) with ((s * s) * (enorm d w * enorm d w)) by ring.
    replace (exp (- / 2) * sqrt rd * (exp (- / 2) * sqrt rd)) with (exp (- / 2) * exp (- / 2) * (sqrt rd * sqrt rd)) by ring.
    rewrite sqrt_sqrt, enorm_sqr by lra. unfold s. rewrite <- !exp_plus.
    replace (- dot d w w / (2 * rd) + - dot d w w / (2 * rd)) with (- (dot d w w / rd)) by (field; lra).
    replace (- / 2 + - / 2) with (- (1)) by field. rewrite (exp_Ropp 1).
    pose proof (exp_peak (dot d w w / rd)) as Pk.
    replace (exp (- (dot d w w / rd)) * dot d w w) with (dot d w w / rd * exp (- (dot d w w / rd)) * rd) by (field; lra).
    apply Rmult_le_compat_r; [lra|exact Pk]. }
  rewrite Rabs_mult, (Rabs_right s) by lra. unfold Rdiv. rewrite Rabs_mult, Rabs_Ropp, (Rabs_right (/ rd)) by lra.
  apply Rle_trans with (s * (enorm d w * enorm d z * / rd)).
  { apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_r; [assumption | apply dot_cs]. }
  apply Rle_trans with (exp (- / 2) * sqrt rd * (enorm d z * / rd)).
  { replace (s * (enorm d w * enorm d z * / rd)) with (s * enorm d w * (enorm d z * / rd)) by ring.
    apply Rmult_le_compat_r; [|exact K1]. now apply Rmult_le_pos. }
  right. unfold gauss_1, Rdiv. rewrite <- (sqrt_sqrt rd) at 2 by lra. field. lra.
Qed.

Lemma gauss_dir x y X Y : 0 <= X -> 0 <= Y -> enorm d x <= xQ * X -> enorm d y <= xK * Y ->
  enorm d (fun b => x b - y b) <= gauss_g * sqrt (X * X + Y * Y).
Proof.
  intros. eapply Rle_trans; [apply enorm_sub|]. unfold gauss_g.
  pose proof (star xQ xK Y X) as S. rewrite (Rplus_comm (Y * Y)) in S. lra.
Qed.

Lemma gauss_bound : kn = Gaussian -> exists D2,
  is_derive (fun t => psi kn l (fun j => sc j t) (fun j => sa j t) (fun j => ut j t) uv) t D2 /\ Rabs D2 <= gauss_b * nv * ne.
Proof.
  intro kn_gauss.
  destruct pos as (PxQ & PxK & Po & Pq & Pk & Pu). destruct posv as (PvQ & PvK & PvV & PeQ & PeK & PeV).
  destruct sv_pos as [Psv Pse]. pose proof (sqrt_pos (xQ * xQ + xK * xK)) as Pg. fold gauss_g in Pg.
  pose proof (psi_derive_gaussian l sc sa ut uv t (sc' t) sa' ue (Dc t) (Da t) (Du t)) as Der.
  match type of Der with is_derive _ _ ?D => exists D end. split; [rewrite kn_gauss; exact Der|].
  assert (P2 : 0 <= gauss_2). { unfold gauss_2. pose proof (exp_pos 1). apply Rmult_le_pos; [|apply ir_pos]. unfold Rdiv. pose proof (Rinv_0_lt_compat _ H). lra. }
  assert (P1 : 0 <= gauss_1). { unfold gauss_1. apply Rmult_le_pos; [left; apply exp_pos|]. left. apply Rinv_0_lt_compat. now apply sqrt_lt_R0. }
  set (one := gauss_2 * (gauss_g * gauss_g) * ub + gauss_1 * gauss_g * oV).
  eapply Rle_trans; [apply lsum_abs|]. apply Rle_trans with (lsum l (fun _ => one * nv * ne)).
  2:{ right. unfold gauss_b. fold one. clear. induction l as [|j l' IH]; simpl lsum; [simpl; ring|].
      rewrite IH. simpl length. rewrite S_INR. ring. }
  apply lsum_le. intros j Hj. specialize (Hu j Hj). specialize (Huv j Hj). specialize (Hue j Hj).
  unfold sc, sc', sa, sa', score, form. rewrite kn_gauss.
  set (w := fun b => qt t b - kt j t b). set (wv := fun b => qv b - kv j b). set (we := fun b => qe b - ke j b).
  set (s := exp (- dot d w w / (2 * rd))).
  assert (Nv : enorm d wv <= gauss_g * sv) by (apply gauss_dir; auto).
  assert (Ne : enorm d we <= gauss_g * se) by (apply gauss_dir; auto).
  pose proof (gauss_atom w wv we) as T. fold s in T. pose proof (gauss_first w wv) as Fv. pose proof (gauss_first w we) as Fe. fold s in Fv, Fe.
  replace (s * ((- dot d w we / rd * (- dot d w wv / rd) + - dot d we wv / rd) * ut j t + (- dot d w wv / rd * ue j + - dot d w we / rd * uv j)))
    with (s * (- dot d w we / rd * (- dot d w wv / rd) + - dot d we wv / rd) * ut j t + (s * (- dot d w wv / rd) * ue j + s * (- dot d w we / rd) * uv j)) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. eapply Rle_trans; [apply Rplus_le_compat_l, Rabs_triang|]. rewrite !(Rabs_mult (_ * _)).
  pose proof (enorm_pos d wv) as PwV. pose proof (enorm_pos d we) as PwE.
  assert (T' : Rabs (s * (- dot d w we / rd * (- dot d w wv / rd) + - dot d we wv / rd)) <= gauss_2 * (gauss_g * gauss_g) * (sv * se)).
  { eapply Rle_trans; [exact T|]. rewrite Rmult_assoc. apply Rmult_le_compat_l; [exact P2|].
    replace (gauss_g * gauss_g * (sv * se)) with (gauss_g * sv * (gauss_g * se)) by ring. now apply Rmult_le_compat. }
  assert (Fv' : Rabs (s * (- dot d w wv / rd)) <= gauss_1 * gauss_g * sv).
  { eapply Rle_trans; [exact Fv|]. rewrite Rmult_assoc. now apply Rmult_le_compat_l. }
  assert (Fe' : Rabs (s * (- dot d w we / rd)) <= gauss_1 * gauss_g * se).
  { eapply Rle_trans; [exact Fe|]. rewrite Rmult_assoc. now apply Rmult_le_compat_l. }
  pose proof (Rmult_le_compat _ _ _ _ (Rabs_pos _) (Rabs_pos _) T' Hu) as A1.
  pose proof (Rmult_le_compat _ _ _ _ (Rabs_pos _) (Rabs_pos _) Fv' Hue) as A2.
  pose proof (Rmult_le_compat _ _ _ _ (Rabs_pos _) (Rabs_pos _) Fe' Huv) as A3.
  eapply Rle_trans; [apply Rplus_le_compat; [exact A1 | apply Rplus_le_compat; [exact A2 | exact A3]]|].
  pose proof svse as S2. pose proof svV as S3.
  assert (Q1 : 0 <= gauss_2 * (gauss_g * gauss_g) * ub).
  { apply Rmult_le_pos; [apply Rmult_le_pos; [exact P2 | now apply Rmult_le_pos] | exact Pu]. }
  assert (Q2 : 0 <= gauss_1 * gauss_g * oV) by (apply Rmult_le_pos; [now apply Rmult_le_pos | exact Po]).
  pose proof (Rmult_le_compat_l _ _ _ Q1 S2). pose proof (Rmult_le_compat_l _ _ _ Q2 S3). unfold one. lra.
Qed.

Theorem row_curvature : exists D2,
  is_derive (fun t => psi kn l (fun j => sc j t) (fun j => sa j t) (fun j => ut j t) uv) t D2 /\ Rabs D2 <= row_b * nv * ne.
Proof. unfold row_b. destruct kn eqn:Qk; rewrite <- Qk; [apply soft_bound | apply gauss_bound]; exact Qk. Qed.
End Bounds.
