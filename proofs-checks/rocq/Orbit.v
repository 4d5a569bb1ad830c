(* placeholder *)
