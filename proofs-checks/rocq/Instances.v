(* Instances with exact dyadic numbers, and the model's quantities in interval arithmetic. *)
Require Import Reals Lra Psatz List ZArith Bool.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces TheoremA Rows Model Intervals.
Import ListNotations.
Open Scope R_scope.

Record instance := Instance {
  q_kernel : kernel;
  q_N : nat; q_n : nat; q_D : nat; q_d : nat; q_H : nat; q_p : nat;
  q_X : list (list (list dyad));    (* sample, token, feature *)
  q_y : list (list (list dyad));    (* sample, token, output *)
  q_Q : list (list (list dyad));    (* head, feature, coordinate *)
  q_K : list (list (list dyad));
  q_V : list (list (list dyad));
  q_O : list (list (list dyad)) }.  (* head, coordinate, output *)

Definition dzero : dyad := (0%Z, 0%Z).
Definition get2 {A} (z : A) (l : list (list A)) i k := nth k (nth i l nil) z.
Definition get3 {A} (z : A) (l : list (list (list A))) i k a := nth a (nth k (nth i l nil) nil) z.
Definition real3 l i k a : R := dval (get3 dzero l i k a).

(* what an instance means *)
Definition the_model (q : instance) : model :=
  Model (q_kernel q) (q_N q) (q_n q) (q_D q) (q_d q) (q_H q) (q_p q) (real3 (q_X q)) (real3 (q_y q)) (real3 (q_O q)).
Definition the_weights (q : instance) : par -> R := fun '(bl, h, a, b) =>
  match bl with Q => real3 (q_Q q) h a b | K => real3 (q_K q) h a b | V => real3 (q_V q) h a b end.
Definition trained (q k v : bool) (bl : block) : bool := match bl with Q => q | K => k | V => v end.

Definition map3 {A B} (g : A -> B) := map (map (map g)).
Definition table := list (list (list I.type)).

Section Eval.
Variable prec : Intervals.F.precision.
Notation cont := Intervals.cont.
Notation "x +! y" := (I.add prec x y) (at level 50, left associativity).
Notation "x -! y" := (I.sub prec x y) (at level 50, left associativity).
Notation "x *! y" := (I.mul prec x y) (at level 40, left associativity).
Notation "x /! y" := (I.div prec x y) (at level 40, left associativity).
Notation isum := (isum prec).

Definition zero : I.type := idv prec dzero.
Lemma cget3 l i k a : cont (get3 zero (map3 (idv prec) l) i k a) (real3 l i k a).
Proof.
  unfold get3, map3, real3, zero. change (@nil (list I.type)) with (map (map (idv prec)) nil). rewrite map_nth.
  change (@nil I.type) with (map (idv prec) nil). rewrite map_nth, map_nth. apply cdv.
Qed.

Variable q : instance.
Notation N := (q_N q). Notation n := (q_n q). Notation D := (q_D q). Notation d := (q_d q). Notation H := (q_H q). Notation p := (q_p q).
Notation tokens := (seq 0 n).
Notation m := (the_model q).
Variables lX ly lO : table.                     (* data, converted *)
Variable Wi : block -> table.                   (* weights, as intervals *)

Record tables := Tables {
  t_sd : I.type;
  t_proj : block -> nat -> nat -> nat -> nat -> I.type;          (* i k h b *)
  t_value : nat -> nat -> nat -> nat -> I.type;                  (* i j h c *)
  t_weight : nat -> nat -> nat -> nat -> I.type;                 (* i k h j *)
  t_beta : nat -> nat -> nat -> nat -> nat -> I.type;            (* i k c h j *)
  t_res : nat -> nat -> nat -> I.type;                           (* i k c *)
  t_q : nat -> nat -> nat -> nat -> nat -> I.type;               (* i k c h b: what W^Q's entries have beside x_ka *)
  t_k : nat -> nat -> nat -> nat -> nat -> I.type;               (* softmax, i k c h a: what W^K's entries have beside q_b *)
  t_v : nat -> nat -> nat -> nat -> I.type }.                    (* i k h a: what W^V's entries have beside W^O *)

Definition e_proj b i k h c := isum (seq 0 D) (fun a => get3 zero lX i k a *! get3 zero (Wi b) h a c).
Definition e_dot (u v : nat -> I.type) := isum (seq 0 d) (fun b => u b *! v b).

Definition eval : tables :=
  let sd := I.sqrt prec (I.fromZ prec (Z.of_nat d)) in
  let pq := memo4 N n H d (e_proj Q) in
  let pk := memo4 N n H d (e_proj K) in
  let pv := memo4 N n H d (e_proj V) in
  let value := memo4 N n H p (fun i j h c => e_dot (pv i j h) (fun b => get3 zero lO h b c)) in
  let ex := memo4 N n H n (fun i k h j => I.exp prec (match q_kernel q with
    | Softmax => e_dot (pq i k h) (pk i j h) /! sd
    | Gaussian => let w := memo d (fun b => pq i k h b -! pk i j h b) in I.neg (e_dot w w) /! (I.fromZ prec 2 *! sd) end)) in
  let weight := match q_kernel q with
    | Softmax => let den := memo3 N n H (fun i k h => isum tokens (ex i k h)) in memo4 N n H n (fun i k h j => ex i k h j /! den i k h)
    | Gaussian => ex end in
  let row := memo4 N n H p (fun i k h c => isum tokens (fun j => weight i k h j *! value i j h c)) in
  let beta := memo5 N n p H n (fun i k c h j => match q_kernel q with
    | Softmax => weight i k h j *! (value i j h c -! row i k h c)
    | Gaussian => weight i k h j *! value i j h c end) in
  let grad b j := match q_kernel q with Softmax => fun i k h => pk i j h b | Gaussian => fun i k h => pk i j h b -! pq i k h b end in
  Tables sd (fun b => match b with Q => pq | K => pk | V => pv end) value weight beta
    (memo3 N n p (fun i k c => isum (seq 0 H) (fun h => row i k h c) -! get3 zero ly i k c))
    (memo5 N n p H d (fun i k c h b => isum tokens (fun j => beta i k c h j *! grad b j i k h) /! sd))
    (memo5 N n p H D (fun i k c h a => isum tokens (fun j => get3 zero lX i j a *! beta i k c h j)))
    (memo4 N n H D (fun i k h a => isum tokens (fun j => weight i k h j *! get3 zero lX i j a))).

Definition e_entry (t : tables) (o : nat * nat * nat) (r : par) : I.type :=
  let '(i, k, c) := o in let '(bl, h, a, b) := r in
  match bl with
  | Q => get3 zero lX i k a *! t_q t i k c h b
  | K => match q_kernel q with
    | Softmax => t_k t i k c h a *! t_proj t Q i k h b /! t_sd t
    | Gaussian => isum tokens (fun j => get3 zero lX i j a *! (t_beta t i k c h j *! (t_proj t Q i k h b -! t_proj t K i j h b))) /! t_sd t end
  | V => t_v t i k h a *! get3 zero lO h b c
  end.

(** soundness: the tables hold the model's numbers at W *)
Hypothesis d_pos : (0 < d)%nat.
Hypothesis n_pos : (0 < n)%nat.
Hypothesis cX : forall i k a, cont (get3 zero lX i k a) (X m i k a).
Hypothesis cy : forall i k a, cont (get3 zero ly i k a) (y m i k a).
Hypothesis cO : forall i k a, cont (get3 zero lO i k a) (WO m i k a).
Variable W : par -> R.
Hypothesis cW : forall bl h a b, cont (get3 zero (Wi bl) h a b) (W (bl, h, a, b)).
Notation sd := (sqrt (INR d)).

Lemma csd : cont (t_sd eval) sd.
Proof. apply csqrt; [apply pos_INR|]. rewrite INR_IZR_INZ. apply cZ. Qed.
Lemma sd_ne : sd <> 0.
Proof. pose proof (sd_pos m d_pos) as Sp. simpl in Sp. lra. Qed.
Lemma c_proj b i k h c : cont (t_proj eval b i k h c) (proj m b W i k h c).
Proof. unfold eval. cbn [t_proj]. destruct b; rewrite memo4_eq; apply csum; intros; now apply cmul. Qed.
Lemma c_dot u v ur vr : (forall b, cont (u b) (ur b)) -> (forall b, cont (v b) (vr b)) -> cont (e_dot u v) (dot d ur vr).
Proof. intros. apply csum. intros. now apply cmul. Qed.
Lemma c_value i j h c : cont (t_value eval i j h c) (value m W i j h c).
Proof.
  unfold eval. cbn [t_value]. rewrite memo4_eq. apply c_dot; [|intro; apply cO]. intro b. exact (c_proj V i j h b).
Qed.
Lemma c_score i k h j : cont (I.exp prec (match q_kernel q with
    | Softmax => e_dot (t_proj eval Q i k h) (t_proj eval K i j h) /! t_sd eval
    | Gaussian => let w := memo d (fun b => t_proj eval Q i k h b -! t_proj eval K i j h b) in I.neg (e_dot w w) /! (I.fromZ prec 2 *! t_sd eval) end))
  (exp (scores m W i k h j)).
Proof.
  apply cexp. unfold scores, score. change (kern m) with (q_kernel q). destruct (q_kernel q).
  - apply cdiv; [exact sd_ne | | exact csd]. apply c_dot; intro; apply c_proj.
  - cbv zeta. pose proof (sd_pos m d_pos) as Sp. apply cdiv; [simpl in Sp |- *; lra | | apply cmul; [apply cZ | exact csd]].
    apply cneg, c_dot; intro b; rewrite memo_eq; apply csub; apply c_proj.
Qed.
Lemma c_weight i k h j : cont (t_weight eval i k h j) (weight (kern m) tokens (scores m W i k h) j).
Proof.
  pose proof c_score as S. unfold weight. change (kern m) with (q_kernel q). unfold eval in *. cbn [t_weight t_proj t_sd] in *.
  pose proof (den_pos tokens) as Dp. destruct (q_kernel q) eqn:QK.
  - rewrite memo4_eq. apply cdiv.
    + specialize (Dp (tokens_ne m d_pos n_pos) (scores m W i k h)). lra.
    + rewrite memo4_eq. apply S.
    + rewrite memo3_eq. apply csum. intros. rewrite memo4_eq. apply S.
  - rewrite memo4_eq. apply S.
Qed.
Lemma c_row i k h c : cont (isum tokens (fun j => t_weight eval i k h j *! t_value eval i j h c)) (row (kern m) tokens (scores m W i k h) (fun j => value m W i j h c)).
Proof. apply csum. intros. apply cmul; [apply c_weight | apply c_value]. Qed.
Lemma c_beta i k c h j : cont (t_beta eval i k c h j) (beta_j m W i k c h j).
Proof.
  pose proof c_weight as Cw. pose proof c_value as Cv. pose proof c_row as Cr. unfold beta_j, mean. change (kern m) with (q_kernel q) in *.
  change (nn m) with n. change (np m) with p in *.
  unfold eval in *. cbn [t_weight t_value t_beta] in *. rewrite memo5_eq. destruct (q_kernel q).
  - apply cmul; [apply Cw|]. apply csub; [apply Cv|]. rewrite memo4_eq. apply Cr.
  - rewrite Rminus_0_r. apply cmul; [apply Cw | apply Cv].
Qed.
Lemma c_res i k c : cont (t_res eval i k c) (res m W (i, k, c)).
Proof.
  pose proof c_row as Cr. unfold eval in *. cbn [t_weight t_value t_res] in *. rewrite memo3_eq. apply csub; [|apply cy].
  apply csum. intros. rewrite memo4_eq. apply Cr.
Qed.
Lemma c_q i k c h b : cont (t_q eval i k c h b) (lsum tokens (fun j => beta_j m W i k c h j * gQ m W i k h j b) / sd).
Proof.
  pose proof c_beta as Cb. pose proof c_proj as Cp. pose proof csd as Cs. pose proof sd_ne. unfold gQ. change (kern m) with (q_kernel q) in *.
  pose proof (fun i k h b => Cp Q i k h b) as CQ. pose proof (fun i k h b => Cp K i k h b) as CK.
  unfold eval in *. cbn [t_beta t_proj t_sd t_q] in *. rewrite memo5_eq. apply cdiv; [assumption| |exact Cs].
  apply csum. intros. apply cmul; [apply Cb|]. destruct (q_kernel q); [apply CK|]. apply csub; [apply CK | apply CQ].
Qed.
Lemma c_entry o r : cont (e_entry eval o r) (entry m W o r).
Proof.
  destruct o as [[i k] c], r as [[[bl h] a] b]. pose proof sd_ne as Ne. pose proof csd as Cs.
  pose proof (c_proj Q i k h b) as CQ. pose proof (fun j => c_proj K i j h b) as CK. pose proof (c_beta i k c h) as CB. pose proof (c_weight i k h) as CW.
  destruct bl; cbn [e_entry entry].
  - apply cmul; [apply cX | apply c_q].
  - unfold gK. change (kern m) with (q_kernel q) in *. change (nn m) with n. change (nd m) with d in *. destruct (q_kernel q) eqn:QK.
    + replace (lsum tokens (fun j => X m i j a * (beta_j m W i k c h j * proj m Q W i k h b)))
        with (lsum tokens (fun j => X m i j a * beta_j m W i k c h j) * proj m Q W i k h b).
      2:{ rewrite <- lsum_scal_r. apply lsum_ext. intro. ring. }
      apply cdiv; [exact Ne | | exact Cs]. apply cmul; [|exact CQ].
      unfold eval in *. cbn [t_k t_beta] in *. rewrite memo5_eq. apply csum. intros. apply cmul; [apply cX | apply CB].
    + apply cdiv; [exact Ne | | exact Cs]. apply csum. intros. apply cmul; [apply cX|]. apply cmul; [apply CB|]. now apply csub.
  - apply cmul; [|apply cO]. unfold eval in *. cbn [t_v t_weight] in *. rewrite memo4_eq. apply csum. intros. apply cmul; [apply CW | apply cX].
Qed.
End Eval.
