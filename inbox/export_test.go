package inbox

// RegisterMetrics registers what every inbox of this process shows.
var RegisterMetrics = registerMetrics
