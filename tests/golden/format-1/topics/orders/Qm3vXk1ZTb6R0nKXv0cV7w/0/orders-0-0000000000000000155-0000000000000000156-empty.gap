{
 "reason": "empty",
 "first": 155,
 "last": 156,
 "detected_at": 1767225660000,
 "evidence": {
  "log_start": 157
 }
}