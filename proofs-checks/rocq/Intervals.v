(* Interval arithmetic (coq-interval, on Z), dyadic numbers, positivity of symmetric interval matrices by elimination,
   and bounds on singular values from an integer matrix.
   With Specific_bigint and BigIntRadix2 for Specific_stdz and StdZRadix2 here and nowhere else, mantissas are made of
   primitive 63-bit integers: about ten times as fast, and Print Assumptions then lists the axioms of those. *)
Require Import Reals Lra Psatz List ZArith Bool.
From Interval Require Import Basic Specific_ops Specific_stdz Float_full Interval Xreal.
From Gdcert Require Import Spaces.
Import ListNotations.
Open Scope R_scope.

Module F := SpecificFloat StdZRadix2.
Module I := FloatIntervalFull F.

Section Checker.
Variable prec : F.precision.

Definition cont (xi : I.type) (x : R) := contains (I.convert xi) (Xreal x).

Lemma cadd xi yi x y : cont xi x -> cont yi y -> cont (I.add prec xi yi) (x + y).
Proof. exact (I.add_correct prec xi yi (Xreal x) (Xreal y)). Qed.
Lemma csub xi yi x y : cont xi x -> cont yi y -> cont (I.sub prec xi yi) (x - y).
Proof. exact (I.sub_correct prec xi yi (Xreal x) (Xreal y)). Qed.
Lemma cmul xi yi x y : cont xi x -> cont yi y -> cont (I.mul prec xi yi) (x * y).
Proof. exact (I.mul_correct prec xi yi (Xreal x) (Xreal y)). Qed.
Lemma cneg xi x : cont xi x -> cont (I.neg xi) (- x).
Proof. exact (I.neg_correct xi (Xreal x)). Qed.
Lemma cabs xi x : cont xi x -> cont (I.abs xi) (Rabs x).
Proof. exact (I.abs_correct xi (Xreal x)). Qed.
Lemma cexp xi x : cont xi x -> cont (I.exp prec xi) (exp x).
Proof. exact (I.exp_correct prec xi (Xreal x)). Qed.
Lemma csqrt xi x : 0 <= x -> cont xi x -> cont (I.sqrt prec xi) (sqrt x).
Proof.
  intros P H. pose proof (I.sqrt_correct prec xi (Xreal x) H) as Q. simpl in Q.
  try (destruct (is_negative_spec x) as [N|N] in Q; [lra|]). exact Q.
Qed.
Lemma cdiv xi yi x y : y <> 0 -> cont xi x -> cont yi y -> cont (I.div prec xi yi) (x / y).
Proof.
  intros P H H'. pose proof (I.div_correct prec xi yi (Xreal x) (Xreal y) H H') as Q. simpl in Q.
  unfold Xdiv' in Q. destruct (is_zero_spec y) as [N|N] in Q; [lra|]. exact Q.
Qed.
Lemma cZ z : cont (I.fromZ prec z) (IZR z).
Proof. apply I.fromZ_correct. Qed.

Definition posb (xi : I.type) := match I.sign_strict xi with Xgt => true | _ => false end.
Definition nonneg (xi : I.type) := match I.sign_large xi with Xgt => true | Xeq => true | _ => false end.
Lemma posb_ok xi x : cont xi x -> posb xi = true -> 0 < x.
Proof.
  unfold posb. intros H Q. pose proof (I.sign_strict_correct xi) as S. destruct (I.sign_strict xi); try easy.
  now destruct (S (Xreal x) H).
Qed.
Lemma nonneg_ok xi x : cont xi x -> nonneg xi = true -> 0 <= x.
Proof.
  unfold nonneg. intros H Q. pose proof (I.sign_large_correct xi) as S. destruct (I.sign_large xi); try easy.
  - specialize (S (Xreal x) H). injection S as ->. lra.
  - now destruct (S (Xreal x) H).
Qed.

Fixpoint isum {A} (l : list A) (f : A -> I.type) : I.type :=
  match l with nil => I.fromZ prec 0 | i :: l => I.add prec (f i) (isum l f) end.
Lemma csum {A} (l : list A) fi f : (forall i, In i l -> cont (fi i) (f i)) -> cont (isum l fi) (lsum l f).
Proof. induction l; simpl; intro H; [apply cZ|]. apply cadd; auto. Qed.

(** Dyadic numbers m * 2^k *)
Definition dyad := (Z * Z)%type.
Definition dval (q : dyad) : R :=
  match snd q with Zneg p => IZR (fst q) / IZR (2 ^ Zpos p) | k => IZR (fst q * 2 ^ k) end.
Definition idv (q : dyad) : I.type :=
  match snd q with
  | Zneg p => I.div prec (I.fromZ prec (fst q)) (I.fromZ prec (2 ^ Zpos p))
  | k => I.fromZ prec (fst q * 2 ^ k)
  end.
Lemma cdv q : cont (idv q) (dval q).
Proof.
  unfold idv, dval. destruct (snd q); try apply cZ. apply cdiv; try apply cZ.
  apply IZR_neq. pose proof (Z.pow_pos_nonneg 2 (Zpos p)). lia.
Qed.

(** Symmetric matrices by their upper triangles, and a positivity test by elimination *)
Fixpoint dotl (r w : list R) : R := match r, w with a :: r, x :: w => a * x + dotl r w | _, _ => 0 end.
Fixpoint quad (T : list (list R)) (w : list R) : R :=
  match T, w with
  | (g :: r) :: T, x :: w => g * x * x + 2 * x * dotl r w + quad T w
  | _, _ => 0
  end.
Fixpoint subscale (row : list R) (c : R) (s : list R) : list R :=
  match row, s with a :: row, b :: s => (a - c * b) :: subscale row c s | _, _ => nil end.
Fixpoint schur (r : list R) (g : R) (T : list (list R)) : list (list R) :=
  match r, T with a :: r', row :: T => subscale row (a / g) r :: schur r' g T | _, _ => nil end.
Fixpoint wf (T : list (list R)) : Prop :=
  match T with nil => True | row :: T => length row = S (length T) /\ wf T end.

Lemma subscale_length row c s : length row = length s -> length (subscale row c s) = length row.
Proof. revert s. induction row; destruct s; simpl; intros H; try easy. now rewrite IHrow by lia. Qed.
Lemma dotl_subscale row c s w : length row = length s -> dotl (subscale row c s) w = dotl row w - c * dotl s w.
Proof.
  revert s w. induction row; destruct s; simpl; intros w H; try easy; [ring|].
  destruct w; simpl; [ring|]. rewrite IHrow by lia. ring.
Qed.
Lemma schur_wf r g T : wf T -> length r = length T -> wf (schur r g T) /\ length (schur r g T) = length T.
Proof.
  revert r. induction T as [|row T IH]; destruct r as [|a r]; simpl; intros W Len; try easy.
  destruct W as [W1 W2]. destruct (IH r W2 ltac:(lia)) as [I1 I2]. rewrite I2.
  rewrite subscale_length by (simpl; lia). auto.
Qed.
Lemma quad_schur r g T w : g <> 0 -> wf T -> length r = length T -> length w = length T ->
  quad (schur r g T) w = quad T w - dotl r w * dotl r w / g.
Proof.
  intro Hg. revert r w. induction T as [|row T IH]; destruct r as [|a r]; destruct w as [|x w]; simpl; intros W L1 L2; try easy.
  - unfold Rdiv. ring.
  - destruct W as [W1 W2]. destruct row as [|b row]; [easy|]. simpl in W1. simpl.
    rewrite dotl_subscale by lia. rewrite IH by (auto; lia). field. exact Hg.
Qed.

Fixpoint isubscale (row : list I.type) (c : I.type) (s : list I.type) : list I.type :=
  match row, s with a :: row, b :: s => I.sub prec a (I.mul prec c b) :: isubscale row c s | _, _ => nil end.
Fixpoint ischur (r : list I.type) (g : I.type) (T : list (list I.type)) : list (list I.type) :=
  match r, T with a :: r', row :: T => isubscale row (I.div prec a g) r :: ischur r' g T | _, _ => nil end.
Fixpoint psd (fuel : nat) (T : list (list I.type)) : bool :=
  match T, fuel with
  | nil, _ => true
  | (g :: r) :: T, S fuel => posb g && psd fuel (ischur r g T)
  | _, _ => false
  end.

Lemma csubscale row c s rowr cr sr : Forall2 cont row rowr -> cont c cr -> Forall2 cont s sr ->
  Forall2 cont (isubscale row c s) (subscale rowr cr sr).
Proof.
  intros H Hc. revert s sr. induction H; intros s sr Hs; [constructor|].
  destruct Hs; [constructor|]. simpl. constructor; [apply csub; [easy|]; now apply cmul | now apply IHForall2].
Qed.
Lemma cschur r g T rr gr Tr : gr <> 0 -> Forall2 cont r rr -> cont g gr -> Forall2 (Forall2 cont) T Tr ->
  Forall2 (Forall2 cont) (ischur r g T) (schur rr gr Tr).
Proof.
  intros N Hr Hg. revert T Tr. induction Hr; intros T Tr HT; [constructor|].
  destruct HT; [constructor|]. simpl. constructor; [|now apply IHHr].
  apply csubscale; auto. now apply cdiv.
Qed.
Lemma psd_ok fuel T Tr w : Forall2 (Forall2 cont) T Tr -> wf Tr -> length w = length Tr ->
  psd fuel T = true -> 0 <= quad Tr w.
Proof.
  revert T Tr w. induction fuel as [|fuel IH]; intros T Tr w HT W Len Q.
  - destruct T as [|[|g r] T]; simpl in Q; try easy. inversion HT; subst. simpl. lra.
  - destruct T as [|[|g r] T]; simpl in Q; try easy; inversion HT as [|? rowr ? Tr' Hrow HT']; subst; [simpl; lra|].
    inversion Hrow as [|? gr ? rr Hg Hr]; subst. apply andb_prop in Q. destruct Q as [Q1 Q2].
    pose proof (posb_ok _ _ Hg Q1) as P. destruct W as [W1 W2]. simpl in W1.
    destruct w as [|x w]; simpl in Len; [easy|]. simpl.
    assert (Ne : gr <> 0) by lra.
    pose proof (schur_wf rr gr Tr' W2 ltac:(lia)) as [S1 S2].
    specialize (IH _ _ w (cschur _ _ _ _ _ _ Ne Hr Hg HT') S1 ltac:(lia) Q2).
    rewrite quad_schur in IH by (auto; lia).
    assert (E1 : gr * x * x + 2 * x * dotl rr w + quad Tr' w =
      gr * ((x + dotl rr w / gr) * (x + dotl rr w / gr)) + (quad Tr' w - dotl rr w * dotl rr w / gr)) by (field; exact Ne).
    rewrite E1. apply Rplus_le_le_0_compat; [|exact IH].
    apply Rmult_le_pos; [lra|]. apply Rle_0_sqr.
Qed.

Fixpoint tri {A} (G : A -> A -> R) (a : R) (l : list A) : list (list R) :=
  match l with nil => nil | o :: l => ((G o o - a) :: map (G o) l) :: tri G a l end.
Lemma tri_wf {A} (G : A -> A -> R) a l : wf (tri G a l) /\ length (tri G a l) = length l.
Proof. induction l as [|o l [I1 I2]]; simpl; [easy|]. rewrite map_length, I2. auto. Qed.
Lemma dotl_map {A} (g w : A -> R) l : dotl (map g l) (map w l) = lsum l (fun o => g o * w o).
Proof. induction l; simpl; [easy|]. now rewrite IHl. Qed.
Lemma quad_tri {A} (G : A -> A -> R) a l w : (forall o o', G o o' = G o' o) ->
  quad (tri G a l) (map w l) = lsum l (fun o => lsum l (fun o' => w o * w o' * G o o')) - a * lsum l (fun o => w o * w o).
Proof.
  intro Sy. induction l as [|o l IH]; simpl; [ring|].
  rewrite dotl_map, IH, lsum_plus.
  rewrite (lsum_ext l (fun i => w i * w o * G i o) (fun i => w o * (G o i * w i))) by (intro; rewrite (Sy i o); ring).
  rewrite (lsum_ext l (fun o' => w o * w o' * G o o') (fun i => w o * (G o i * w i))) by (intro; ring).
  rewrite lsum_scal. ring.
Qed.
Fixpoint ztri {A} (G : A -> A -> Z) (l : list A) : list (list Z) :=
  match l with nil => nil | o :: l => (G o o :: map (G o) l) :: ztri G l end.
Definition ishift (a : I.type) (T : list (list Z)) : list (list I.type) :=
  map (fun row => match row with nil => nil | g :: r => I.sub prec (I.fromZ prec g) a :: map (I.fromZ prec) r end) T.
Lemma zopp_tri {A} (G : A -> A -> Z) l : map (map Z.opp) (ztri G l) = ztri (fun r r' => Z.opp (G r r')) l.
Proof. induction l; simpl; [easy|]. now rewrite IHl, map_map. Qed.
Lemma c_ishift {A B} (G : B -> B -> Z) (g : A -> A -> R) (f : A -> B) aI a l : (forall o o', IZR (G (f o) (f o')) = g o o') ->
  cont aI a -> Forall2 (Forall2 cont) (ishift aI (ztri G (map f l))) (tri g a l).
Proof.
  intros HG Ha. assert (CG : forall o o', cont (I.fromZ prec (G (f o) (f o'))) (g o o')) by (intros; rewrite <- HG; apply cZ).
  induction l as [|o l IH]; [constructor|]. cbn [ztri map tri]. unfold ishift. cbn [map]. constructor; [|exact IH].
  constructor; [now apply csub|]. clear IH. induction l; cbn [map]; constructor; auto.
Qed.

(** Singular values.  The matrix x(o, q) is known by intervals; z(o, q) is the integer next to 2^F x(o, q).
    With S = 2^F and s^2 >= (rows times columns): sigma_min(x') >= alpha if z z' - (alpha S + s)^2 is positive, and
    |x| <= lam if (lam S - s)^2 - z z' is. *)
Section Singular.
Variable bits : Z.                                   (* F *)
Definition unit : I.type := I.fromZ prec (2 ^ bits).
Definition nearest (xi : I.type) : Z :=
  match F.toF (I.midpoint xi) with
  | Basic.Float s m e => let z := Z.div2 (Z.shiftl (Zpos m) (e + bits + 1) + 1) in if s then Z.opp z else z
  | _ => 0%Z
  end.
Definition near (xi : I.type) (z : Z) : bool :=
  let e := I.sub prec (I.mul prec xi unit) (I.fromZ prec z) in
  nonneg (I.sub prec (I.fromZ prec 1) e) && nonneg (I.add prec (I.fromZ prec 1) e).
Lemma near_ok xi x z : cont xi x -> near xi z = true -> Rabs (x * IZR (2 ^ bits) - IZR z) <= 1.
Proof.
  intros H Q. unfold near in Q. apply andb_prop in Q. destruct Q as [Q1 Q2].
  assert (C : cont (I.sub prec (I.mul prec xi unit) (I.fromZ prec z)) (x * IZR (2 ^ bits) - IZR z)).
  { apply csub; [|apply cZ]. apply cmul; [exact H | apply cZ]. }
  pose proof (nonneg_ok _ _ (csub _ _ _ _ (cZ 1) C) Q1). pose proof (nonneg_ok _ _ (cadd _ _ _ _ (cZ 1) C) Q2).
  apply Rabs_le. lra.
Qed.
Fixpoint zdot (a b : list Z) : Z := match a, b with x :: a, y :: b => (x * y + zdot a b)%Z | _, _ => 0%Z end.

Context {A B : Type}.
Variables (rows : list A) (cols : list B).
Variable xi : A -> B -> I.type.
Variable x : A -> B -> R.
Hypothesis Hx : forall o q, In o rows -> In q cols -> cont (xi o q) (x o q).

(* each entry is evaluated once *)
Definition zrow_checked o : bool * list Z :=
  let l := map (xi o) cols in let z := map nearest l in (forallb (fun p => near (fst p) (snd p)) (combine l z), z).

Definition zgram (r r' : bool * list Z) : Z := zdot (snd r) (snd r').
Variables alpha lam : I.type.
Variables alphaR lamR : R.
Hypothesis Halpha : cont alpha alphaR.
Hypothesis Hlam : cont lam lamR.
Definition slack : Z := Z.sqrt_up (Z.of_nat (length rows) * Z.of_nat (length cols)).
Definition sigma_ok : bool :=
  let zs := map zrow_checked rows in
  let G := ztri zgram zs in                          (* once for both tests *)
  let s := I.fromZ prec slack in
  let lo := I.add prec (I.mul prec alpha unit) s in
  let up := I.sub prec (I.mul prec lam unit) s in
  (0 <=? bits)%Z && nonneg alpha && nonneg up && forallb fst zs
  && psd (length rows) (ishift (I.mul prec lo lo) G)
  && psd (length rows) (ishift (I.neg (I.mul prec up up)) (map (map Z.opp) G)).

Let S := IZR (2 ^ bits).
Let z o q := IZR (nearest (xi o q)).
Lemma zdot_sum (g h : B -> Z) l : IZR (zdot (map g l) (map h l)) = lsum l (fun q => IZR (g q) * IZR (h q)).
Proof. induction l; simpl; [easy|]. now rewrite plus_IZR, mult_IZR, IHl. Qed.
Lemma zrow_snd o : snd (zrow_checked o) = map (fun q => nearest (xi o q)) cols.
Proof. unfold zrow_checked. cbn [snd]. apply map_map. Qed.
Lemma zgram_ok o o' : IZR (zgram (zrow_checked o) (zrow_checked o')) = lsum cols (fun q => z o q * z o' q).
Proof. unfold zgram. rewrite !zrow_snd. unfold z. now rewrite <- (zdot_sum (fun q => nearest (xi o q)) (fun q => nearest (xi o' q))). Qed.
Lemma quad_gram (w : A -> R) : lsum rows (fun o => lsum rows (fun o' => w o * w o' * lsum cols (fun q => z o q * z o' q)))
  = lsum cols (fun q => lsum rows (fun o => z o q * w o) * lsum rows (fun o => z o q * w o)).
Proof.
  rewrite (lsum_ext cols _ (fun q => lsum rows (fun o => lsum rows (fun o' => w o * w o' * (z o q * z o' q))))).
  - rewrite (lsum_swap cols). apply lsum_ext. intro o. rewrite (lsum_swap cols). apply lsum_ext. intro o'. now rewrite lsum_scal.
  - intro q. rewrite <- lsum_scal_r. apply lsum_ext. intro o. rewrite <- lsum_scal. apply lsum_ext. intro. ring.
Qed.

Notation norm2 l v := (lsum l (fun i => v i * v i)).
Notation sq_apply M w := (lsum cols (fun q => lsum rows (fun o => M o q * w o) * lsum rows (fun o => M o q * w o))).
Lemma count {T} (l : list T) : lsum l (fun _ => 1) = INR (length l).
Proof. induction l; simpl length; [easy|]. rewrite S_INR. simpl. lra. Qed.
Lemma slack_ok : 0 <= IZR slack /\ INR (length rows) * INR (length cols) <= IZR slack * IZR slack.
Proof.
  unfold slack. set (n := (Z.of_nat (length rows) * Z.of_nat (length cols))%Z).
  assert (0 <= n)%Z by (unfold n; lia). split; [apply IZR_le, Z.sqrt_up_nonneg|].
  rewrite !INR_IZR_INZ, <- mult_IZR, <- mult_IZR. fold n. apply IZR_le. destruct (Z.eq_dec n 0) as [->|]; [easy|].
  pose proof (Z.sqrt_up_spec n ltac:(lia)). lia.
Qed.
(* |(x S - z)' w|^2 <= rows columns |w|^2 *)
Lemma perturbation w : (forall o q, In o rows -> In q cols -> Rabs (x o q * S - z o q) <= 1) ->
  sq_apply (fun o q => x o q * S - z o q) w <= IZR slack * IZR slack * norm2 rows w.
Proof.
  intro Hd. apply Rle_trans with (lsum cols (fun _ => INR (length rows) * norm2 rows w)).
  - apply lsum_le. intros q Hq. eapply Rle_trans; [exact (cauchy_schwarz_sqr (Rl rows) (fun o => x o q * S - z o q) w)|]. simpl.
    apply Rmult_le_compat_r; [apply lsum_pos; intros; apply sqr_pos|]. rewrite <- count. apply lsum_le. intros o Ho.
    specialize (Hd o q Ho Hq). apply Rabs_le_l in Hd. nra.
  - rewrite (lsum_ext cols _ (fun _ => INR (length rows) * norm2 rows w * 1)) by (intro; ring).
    rewrite lsum_scal, count. destruct slack_ok as [_ Sl].
    replace (INR (length rows) * norm2 rows w * INR (length cols)) with (INR (length rows) * INR (length cols) * norm2 rows w) by ring.
    apply Rmult_le_compat_r; [apply lsum_pos; intros; apply sqr_pos | exact Sl].
Qed.

Theorem sigma_sound : sigma_ok = true -> 0 <= alphaR /\ forall w : A -> R,
  alphaR * alphaR * norm2 rows w <= sq_apply x w /\ sq_apply x w <= lamR * lamR * norm2 rows w.
Proof.
  intro Q. unfold sigma_ok in Q. cbv zeta in Q.
  repeat (apply andb_prop in Q; let Q' := fresh "K" in destruct Q as [Q Q']).
  apply Z.leb_le in Q.
  assert (PS : 0 < S). { apply IZR_lt. apply Z.pow_pos_nonneg; lia. }
  assert (CS : cont unit S) by apply cZ. assert (Csl : cont (I.fromZ prec slack) (IZR slack)) by apply cZ.
  assert (Clo : cont (I.add prec (I.mul prec alpha unit) (I.fromZ prec slack)) (alphaR * S + IZR slack)) by (apply cadd; [now apply cmul | exact Csl]).
  assert (Cup : cont (I.sub prec (I.mul prec lam unit) (I.fromZ prec slack)) (lamR * S - IZR slack)) by (apply csub; [now apply cmul | exact Csl]).
  pose proof (nonneg_ok _ _ Halpha K3) as Pa. pose proof (nonneg_ok _ _ Cup K2) as Pup. destruct slack_ok as [Psl _].
  assert (Hd : forall o q, In o rows -> In q cols -> Rabs (x o q * S - z o q) <= 1).
  { intros o q Ho Hq. rewrite forallb_forall in K1. specialize (K1 (zrow_checked o) (in_map _ _ _ Ho)).
    unfold zrow_checked in K1. cbn [fst] in K1. rewrite forallb_forall in K1.
    apply (near_ok (xi o q)); [now apply Hx|]. apply (K1 (xi o q, nearest (xi o q))).
    clear - Hq. induction cols as [|q' l IH]; simpl in *; [easy|]. destruct Hq as [->|Hq]; auto. }
  split; [exact Pa|]. intro w.
  (* norms in R^cols *)
  set (vx := fun q => lsum rows (fun o => x o q * S * w o)). set (vz := fun q => lsum rows (fun o => z o q * w o)).
  set (vd := fun q => lsum rows (fun o => (x o q * S - z o q) * w o)).
  set (nw := sqrt (norm2 rows w)).
  assert (Pw : 0 <= norm2 rows w) by (apply lsum_pos; intros; apply sqr_pos).
  assert (Pnw : 0 <= nw) by apply sqrt_pos. assert (Nw : nw * nw = norm2 rows w) by now apply sqrt_sqrt.
  assert (EX : S * S * sq_apply x w = norm2 cols vx).
  { rewrite <- lsum_scal. apply lsum_ext. intro q. unfold vx.
    rewrite (lsum_ext rows (fun o => x o q * S * w o) (fun o => S * (x o q * w o))) by (intro; ring). rewrite lsum_scal. ring. }
  assert (Nd : sqrt (norm2 cols vd) <= IZR slack * nw).
  { apply sqrt_le_sqr; [now apply Rmult_le_pos|]. replace (IZR slack * nw * (IZR slack * nw)) with (IZR slack * IZR slack * (nw * nw)) by ring.
    rewrite Nw. now apply perturbation. }
  assert (Dv : forall q, vx q = vz q + vd q).
  { intro q. unfold vx, vz, vd. rewrite <- lsum_plus. apply lsum_ext. intro. ring. }
  pose proof (tri_wf (fun o o' => lsum cols (fun q => z o q * z o' q)) ((alphaR * S + IZR slack) * (alphaR * S + IZR slack)) rows) as [T1 T2].
  pose proof (tri_wf (fun o o' => - lsum cols (fun q => z o q * z o' q)) (- ((lamR * S - IZR slack) * (lamR * S - IZR slack))) rows) as [U1 U2].
  assert (Lo : 0 <= quad (tri (fun o o' => lsum cols (fun q => z o q * z o' q)) ((alphaR * S + IZR slack) * (alphaR * S + IZR slack)) rows) (map w rows)).
  { eapply psd_ok; [|exact T1 | now rewrite map_length | exact K0]. apply c_ishift; [apply zgram_ok | now apply cmul]. }
  assert (Up : 0 <= quad (tri (fun o o' => - lsum cols (fun q => z o q * z o' q)) (- ((lamR * S - IZR slack) * (lamR * S - IZR slack))) rows) (map w rows)).
  { eapply psd_ok; [|exact U1 | now rewrite map_length | exact K]. rewrite zopp_tri.
    apply c_ishift; [|apply cneg; now apply cmul]. intros. now rewrite opp_IZR, zgram_ok. }
  rewrite quad_tri in Lo by (intros; apply lsum_ext; intro; ring).
  rewrite quad_tri in Up by (intros; f_equal; apply lsum_ext; intro; ring).
  rewrite quad_gram in Lo.
  rewrite (lsum_ext rows (fun o => lsum rows (fun o' => w o * w o' * - _)) (fun o => -1 * lsum rows (fun o' => w o * w o' * lsum cols (fun q => z o q * z o' q)))) in Up
    by (intro; rewrite <- lsum_scal; apply lsum_ext; intro; ring).
  rewrite lsum_scal, quad_gram in Up. change (sq_apply z w) with (norm2 cols vz) in Lo, Up.
  pose proof (sqrt_pos (norm2 cols vz)) as Pz. assert (Zz : sqrt (norm2 cols vz) * sqrt (norm2 cols vz) = norm2 cols vz) by (apply sqrt_sqrt, lsum_pos; intros; apply sqr_pos).
  pose proof (sqrt_pos (norm2 cols vx)) as Px. assert (Zx : sqrt (norm2 cols vx) * sqrt (norm2 cols vx) = norm2 cols vx) by (apply sqrt_sqrt, lsum_pos; intros; apply sqr_pos).
  assert (Tri : sqrt (norm2 cols vx) <= sqrt (norm2 cols vz) + sqrt (norm2 cols vd)).
  { pose proof (triangle (Rl cols) vz vd) as T. unfold nrm in T. simpl in T.
    rewrite (lsum_ext cols (fun i => vx i * vx i) (fun i => (vz i + vd i) * (vz i + vd i))) by (intro; now rewrite Dv). exact T. }
  assert (Tri' : sqrt (norm2 cols vz) <= sqrt (norm2 cols vx) + sqrt (norm2 cols vd)).
  { pose proof (triangle (Rl cols) vx (fun q => -1 * vd q)) as T. unfold nrm in T. simpl in T.
    rewrite (lsum_ext cols (fun i => vz i * vz i) (fun i => (vx i + -1 * vd i) * (vx i + -1 * vd i))) by (intro; rewrite Dv; ring).
    rewrite (lsum_ext cols (fun i => vd i * vd i) (fun i => -1 * vd i * (-1 * vd i))) by (intro; ring). exact T. }
  assert (Z1 : (alphaR * S + IZR slack) * nw <= sqrt (norm2 cols vz)).
  { apply le_of_sqr; [exact Pz|]. rewrite Zz.
    replace ((alphaR * S + IZR slack) * nw * ((alphaR * S + IZR slack) * nw)) with ((alphaR * S + IZR slack) * (alphaR * S + IZR slack) * (nw * nw)) by ring.
    rewrite Nw. lra. }
  assert (Z2 : sqrt (norm2 cols vz) <= (lamR * S - IZR slack) * nw).
  { apply le_of_sqr; [now apply Rmult_le_pos|]. rewrite Zz.
    replace ((lamR * S - IZR slack) * nw * ((lamR * S - IZR slack) * nw)) with ((lamR * S - IZR slack) * (lamR * S - IZR slack) * (nw * nw)) by ring.
    rewrite Nw. lra. }
  assert (PSS : 0 < S * S) by now apply Rmult_lt_0_compat.
  assert (L1 : alphaR * S * nw <= sqrt (norm2 cols vx)) by lra. assert (L2 : sqrt (norm2 cols vx) <= lamR * S * nw) by lra.
  assert (Paw : 0 <= alphaR * S * nw) by (repeat apply Rmult_le_pos; lra).
  split; apply Rmult_le_reg_l with (S * S); try exact PSS; rewrite EX, <- Nw, <- Zx.
  - replace (S * S * (alphaR * alphaR * (nw * nw))) with (alphaR * S * nw * (alphaR * S * nw)) by ring. now apply Rmult_le_compat.
  - replace (S * S * (lamR * lamR * (nw * nw))) with (lamR * S * nw * (lamR * S * nw)) by ring. now apply Rmult_le_compat.
Qed.
End Singular.
End Checker.

(** Tables: [memo n f] is f, with f 0, ..., f (n - 1) computed once *)
Definition memo {A} (n : nat) (f : nat -> A) : nat -> A :=
  let t := map f (seq 0 n) in fun i => match nth_error t i with Some v => v | None => f i end.
Lemma memo_eq {A} n (f : nat -> A) i : memo n f i = f i.
Proof.
  unfold memo. destruct (nth_error (map f (seq 0 n)) i) as [v|] eqn:Q; [|easy].
  assert (L : (i < n)%nat).
  { rewrite <- (seq_length n 0), <- (map_length f). apply nth_error_Some. now rewrite Q. }
  rewrite nth_error_map in Q. rewrite (nth_error_nth' _ 0%nat) in Q by now rewrite seq_length.
  rewrite seq_nth in Q by exact L. simpl in Q. now injection Q.
Qed.
Definition memo2 {A} a b (f : nat -> nat -> A) := memo a (fun i => memo b (f i)).
Definition memo3 {A} a b c (f : nat -> nat -> nat -> A) := memo a (fun i => memo2 b c (f i)).
Definition memo4 {A} a b c d (f : nat -> nat -> nat -> nat -> A) := memo a (fun i => memo3 b c d (f i)).
Definition memo5 {A} a b c d e (f : nat -> nat -> nat -> nat -> nat -> A) := memo a (fun i => memo4 b c d e (f i)).
Lemma memo2_eq {A} a b (f : nat -> nat -> A) i j : memo2 a b f i j = f i j.
Proof. unfold memo2. now rewrite !memo_eq. Qed.
Lemma memo3_eq {A} a b c (f : nat -> nat -> nat -> A) i j k : memo3 a b c f i j k = f i j k.
Proof. unfold memo3. now rewrite memo_eq, memo2_eq. Qed.
Lemma memo4_eq {A} a b c d (f : nat -> nat -> nat -> nat -> A) i j k l : memo4 a b c d f i j k l = f i j k l.
Proof. unfold memo4. now rewrite memo_eq, memo3_eq. Qed.
Lemma memo5_eq {A} a b c d e (f : nat -> nat -> nat -> nat -> nat -> A) i j k l q : memo5 a b c d e f i j k l q = f i j k l q.
Proof. unfold memo5. now rewrite memo_eq, memo4_eq. Qed.
