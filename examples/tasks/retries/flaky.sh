# Succeeds when it is called for the third time.
echo x >> calls
calls=$(wc -l < calls)
echo "call $calls"
[ "$calls" -ge 3 ]
