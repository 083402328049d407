// The form carries the answer of the identity provider; without scripts its button does the same.
document.getElementById('send').submit();
