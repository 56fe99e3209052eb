"""Small worlds that change with time: each says, for every second, what each of its devices would show."""
