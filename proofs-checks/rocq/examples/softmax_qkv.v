(* Written by gdcert 0.1.0. Theorem A on QKV, step eta = 4.7377462455623836e-8, eta beta = 6.364864e-3; coqc takes a few seconds and 0.6 GB on one core.
   instance.safetensors, weights of instance.safetensors (SHA-256 a995fd563abd7e6220c7946b577f475bcbef0e8a8d17ddf9046d4ab4c9390a06), step 0.
   Softmax kernel, N=1 n=2 D=4 d=2 H=2 p=2. A pair (m, k) is the number m 2^k.

   Compile beside the files of `gdcert rocq DIR`, after its build.sh:  coqc $(grep '^-Q' _CoqProject) FILE.v
   Rocq proves the theorem about the numbers below. That they are those of the instance file it does not know:
   `gdcert check --rocq FILE.v` compares them. *)
From Coq Require Import Reals List ZArith.
From Coquelicot Require Import Coquelicot.
From Gdcert Require Import Spaces Rows Model Intervals Instances Check.
Import ListNotations.

(* The model: sample i, head h, query token k, key token j, output c; W (Q, h, a, b) is entry (a, b) of W^Q_h. *)
Section InFull.
Local Open Scope R_scope.
Variable I : instance.
Notation N := (q_N I). Notation n := (q_n I). Notation D := (q_D I). Notation d := (q_d I). Notation H := (q_H I). Notation p := (q_p I).
Notation X := (real3 (q_X I)). Notation y := (real3 (q_y I)). Notation WO := (real3 (q_O I)).
Notation sum k f := (lsum (seq 0 k) f).            (* f 0 + ... + f (k - 1) *)
Definition q (W : par -> R) i h k b := sum D (fun a => X i k a * W (Q, h, a, b)).
Definition kappa (W : par -> R) i h j b := sum D (fun a => X i j a * W (K, h, a, b)).
Definition u (W : par -> R) i h j c := sum d (fun b => sum D (fun a => X i j a * W (V, h, a, b)) * WO h b c).
Definition score W i h k j := sum d (fun b => q W i h k b * kappa W i h j b) / sqrt (INR d).
Definition s W i h k j := exp (score W i h k j) / sum n (fun l => exp (score W i h k l)).
Definition out W i k c := sum H (fun h => sum n (fun j => s W i h k j * u W i h j c)).
Definition loss W := / 2 * sum N (fun i => sum n (fun k => sum p (fun c => (out W i k c - y i k c) * (out W i k c - y i k c)))).
Lemma loss_is : q_kernel I = Softmax -> forall W, f (the_model I) W = loss W.
Proof. intros kernel W. rewrite f_in_full. unfold weight, scores, Rows.score. cbn [the_model kern]. rewrite kernel. reflexivity. Qed.
End InFull.

Local Open Scope Z_scope.
Definition the_instance : instance := Instance Softmax 1 2 4 2 2 2
(* X   *) [[[(3946840559485633,-52);(1838933125661861,-51);(3185762891624039,-54);(3642071098181387,-52)];[(-7322191241859395,-55);(3303157969439305,-51);(4958588902833511,-52);(-319417788370653,-48)]]]
(* y   *) [[[(-623456604846705,-51);(1505922535454211,-51)];[(7130404014123709,-55);(-708663705393149,-50)]]]
(* W^Q *) [[[(-6794562315847975,-53);(-402878308709071,-51)];[(6804420529083059,-54);(-563209636419829,-50)];[(-4668145669032867,-52);(-219486081481955,-51)];[(5320726908103427,-52);(-4252275642436385,-52)]];
    [[(1507824223896731,-52);(5153570734763495,-56)];[(5423087869230979,-53);(1969364412833159,-52)];[(4756842379067781,-53);(-8589046740093327,-53)];[(331038227594285,-54);(4784186207918367,-54)]]]
(* W^K *) [[[(2187618478706521,-52);(6730703031916529,-55)];[(-7484702528143085,-53);(-4525784844860005,-54)];[(-2485246495291735,-54);(-1913457591814771,-54)];[(-6208492959399321,-55);(3680477952573421,-57)]];
    [[(2742891232389997,-53);(3694085489850871,-55)];[(-8932574866056457,-56);(-1126456731652647,-50)];[(-753589123440603,-50);(-1037405644462783,-51)];[(-7021403492823087,-56);(-5138833539108961,-55)]]]
(* W^V *) [[[(0,0);(0,0)];[(0,0);(0,0)];[(0,0);(0,0)];[(0,0);(0,0)]];
    [[(0,0);(0,0)];[(0,0);(0,0)];[(0,0);(0,0)];[(0,0);(0,0)]]]
(* W^O *) [[[(-1893204979457121,-41);(-6505273259892527,-43)];[(-6505273259892525,-43);(7572819917828485,-43)]];
    [[(2376994177269661,-41);(6087548141362195,-44)];[(1521887035340549,-42);(-2376994177269661,-41)]]].

Local Open Scope R_scope.
Lemma the_loss W : f (the_model the_instance) W = loss the_instance W.
Proof. exact (loss_is the_instance eq_refl W). Qed.
(* gradient descent moves W t to W (t + 1) by eta times the partial derivatives of the loss in the trained blocks *)
Notation descent := (descent (the_model the_instance)).

Definition the_certificate : certificate := (Certificate
  true true true   (* trained: W^Q, W^K, W^V *)
  (540651029,-37)   (* rho = 3.933753971068654e-3 *)
  (554784187,-15)   (* h(rho) = 1.693066976928711e4 *)
  (768620299,-21)   (* alpha_c = 3.6650671911239624e2 *)
  (419107813,-17)   (* Lambda = 3.1975388565063477e3 *)
  (262908007,-28)   (* R = 9.79408647865057e-1 *)
  (223733740743853,-72)   (* eta = 4.7377462455623836e-8 *)
  (288500902104629,-31)   (* beta = 1.343437014634856e5 *)
  (* xi  *) [(581528829,-28)]
  (* kap *) [[(745514101,-29);(136217239,-26)]]
  (* ups *) [[(0,0);(0,0)]]
  (* b   *) [[(19033273,-11);(231864693,-14)]]
  (* F   *) 12)%Z.
Notation eta := (dval (c_eta the_certificate)).
Notation beta := (dval (c_beta the_certificate)).

(* Exact gradient descent from the weights above obeys the bound at every step. *)
Theorem converges : forall W : nat -> par -> R, descent (trained true true true) eta (the_weights the_instance) W ->
  forall t, loss the_instance (W t) <= (1 - eta * beta) ^ t * loss the_instance (W 0%nat).
Proof.
  intros W Ds t. rewrite <- !the_loss. revert W Ds t.
  apply (check_sound (F.PtoP 36) (F.PtoP 50) the_instance the_certificate). vm_cast_no_check (eq_refl true).
Qed.
Print Assumptions converges.
