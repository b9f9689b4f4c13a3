locals {
  # A dashboard is 24 columns wide; each model has a row of four widgets.
  rows = { for row, model in sort(keys(var.names.models)) : model => row }

  endpoint_widgets = flatten([
    for model, row in local.rows : [
      for column, widget in local.charts[model] : {
        type   = "metric"
        x      = column * 6
        y      = row * 6 + 6
        width  = 6
        height = 6
        properties = merge(widget, {
          region = var.context.region
          view   = "timeSeries"
          period = 60
        })
      }
    ]
  ])

  charts = {
    for model, row in local.rows : model => [
      {
        title = "${model}: invocations and errors"
        stat  = "Sum"
        metrics = [
          for metric in ["Invocations", "Invocation4XXErrors", "Invocation5XXErrors"] :
          ["AWS/SageMaker", metric, "EndpointName", var.names.models[model].endpoint, "VariantName", var.variant_names[model]]
        ]
      },
      {
        title = "${model}: latency (microseconds)"
        stat  = "p99"
        metrics = [
          for metric in ["ModelLatency", "OverheadLatency"] :
          ["AWS/SageMaker", metric, "EndpointName", var.names.models[model].endpoint, "VariantName", var.variant_names[model]]
        ]
      },
      {
        title   = "${model}: CPU (%, 100 per core)"
        stat    = "Average"
        metrics = [["/aws/sagemaker/Endpoints", "CPUUtilization", "EndpointName", var.names.models[model].endpoint, "VariantName", var.variant_names[model]]]
      },
      {
        title   = "${model}: memory (%)"
        stat    = "Average"
        metrics = [["/aws/sagemaker/Endpoints", "MemoryUtilization", "EndpointName", var.names.models[model].endpoint, "VariantName", var.variant_names[model]]]
      },
    ]
  }

  pipeline_widgets = [
    {
      type   = "metric"
      x      = 0
      y      = 0
      width  = 12
      height = 6
      properties = {
        title  = "Failed executions"
        region = var.context.region
        view   = "timeSeries"
        stat   = "Sum"
        period = 300
        metrics = [
          for machine in sort(values(local.state_machines)) :
          ["AWS/States", "ExecutionsFailed", "StateMachineArn", "arn:${var.context.partition}:states:${var.context.region}:${var.context.account_id}:stateMachine:${machine}", { label = machine }]
        ]
      }
    },
    {
      type   = "metric"
      x      = 12
      y      = 0
      width  = 12
      height = 6
      properties = {
        title   = "Events that could not be delivered"
        region  = var.context.region
        view    = "timeSeries"
        stat    = "Maximum"
        period  = 60
        metrics = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.names.dead_letters_queue]]
      }
    },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.names.dashboard
  dashboard_body = jsonencode({ widgets = concat(local.pipeline_widgets, local.endpoint_widgets) })
}
